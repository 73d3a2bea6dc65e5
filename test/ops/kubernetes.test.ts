import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { variables } from "@calendly-worker/core/config/schema";
import type { Variable } from "@calendly-worker/core/config/variable";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { parse, stringify } from "yaml";
import { describeWith } from "../support/tools.ts";
import { BUILDS, type Manifest, type Manifests, OVERLAYS, ofKind, workloads } from "./kubernetes-builds.ts";
import { INVARIANTS } from "./kubernetes-invariants.ts";
import { MUTANTS } from "./kubernetes-mutants.ts";
import { schemaFaults, typeFaults } from "./kubernetes-schemas.ts";

const built: Record<string, Manifests> = {};
const manifestsOf = (name: string): Manifests => built[name] ?? [];

describeWith("kubectl", "the Kubernetes manifests", () => {
  beforeAll(() => {
    for (const [name, build] of Object.entries(BUILDS)) built[name] = build();
  });

  describe.each(Object.keys(BUILDS))("%s", (name) => {
    test("runs both apps", () => {
      const apps = workloads(manifestsOf(name)).map(({ app }) => app);
      expect(apps.toSorted()).toEqual(["ingest", "worker"]);
    });

    test.each(Object.keys(INVARIANTS))("%s", (invariant) => {
      expect(INVARIANTS[invariant]?.(manifestsOf(name))).toEqual([]);
    });

    test("each object fits the schema of its kind", async () => {
      expect(await schemaFaults(manifestsOf(name))).toEqual([]);
    });
  });

  test("no object has a field that its kind has not", () => {
    expect(typeFaults(Object.values(built).flat())).toEqual([]);
  });

  test("the base needs nothing but Kubernetes", () => {
    const apis = manifestsOf("base").map(({ apiVersion }) => apiVersion);
    expect([...new Set(apis)].toSorted()).toEqual(
      ["apps/v1", "autoscaling/v2", "networking.k8s.io/v1", "policy/v1", "v1"].toSorted(),
    );
  });

  test("every secret that there is reaches an app from the Secret of that name, and no other", () => {
    const references = workloads(manifestsOf("base")).flatMap(({ container }) =>
      container["env"].flatMap(({ name, valueFrom }: Manifest) =>
        valueFrom === undefined ? [] : [[name, valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key].join()],
      ),
    );
    const secrets = Object.entries<Variable>(variables).filter(([, { secret }]) => secret === true);
    expect([...new Set(references)].toSorted()).toEqual(
      secrets.map(([name]) => [name, "calendly-secrets", name].join()).toSorted(),
    );
  });

  test.each(OVERLAYS)("%s runs images of one version, and has a namespace of its own", (overlay) => {
    const tags = workloads(manifestsOf(overlay)).map(({ app, container }) => {
      const [, image, tag] = /\/([a-z]+):([^:/]+)$/.exec(container["image"]) ?? [];
      return image === app ? tag : `that of ${image}`;
    });
    expect(tags).toEqual([expect.stringMatching(/^\d/), tags[0]]);
    const namespaces = manifestsOf(overlay).map(({ metadata }) => metadata.namespace);
    expect([...new Set(namespaces)]).toEqual([`calendly-${overlay}`]);
  });

  describe("it would be found out", () => {
    const mutated = (mutant: (manifests: Manifests) => void) => {
      const manifests = structuredClone(manifestsOf("production"));
      mutant(manifests);
      return manifests;
    };

    test.each(MUTANTS)("if $mistake", ({ make, told }) => {
      const manifests = mutated(make);
      const faults = Object.values(INVARIANTS).flatMap((invariant) => invariant(manifests));
      expect(faults.join("\n")).toContain(told);
    });

    test("if a field were of another type", async () => {
      const manifests = mutated(([...all]) =>
        Object.assign(ofKind(all, "ScaledObject")[0]?.["spec"], { minReplicaCount: "2" }),
      );
      expect((await schemaFaults(manifests)).join()).toContain("minReplicaCount");
    });

    test.each(["Deployment", "NetworkPolicy", "ScaledObject", "PodMonitor"])("if a %s had an unknown field", (kind) => {
      const manifests = mutated((all) => Object.assign(ofKind(all, kind)[0]?.["spec"], { replica: 2 }));
      expect(typeFaults(manifests).join("\n")).toMatch(/replica\b/);
    });
  });
});

describeWith("prometheus", "the query that workers are scaled by", () => {
  const DIR = new URL("../../.local/kubernetes/", import.meta.url).pathname;
  const scaled = new URL("../../ops/kubernetes/components/keda/scaled-object.yaml", import.meta.url);

  test.each([
    ["the age of the oldest job, while jobs wait", { waiting: 3, paused: 0 }, [{ labels: "{}", value: 40 }]],
    ["nothing while the only job rests until its next try", { waiting: 0, paused: 0 }, []],
    ["nothing while the queue is paused", { waiting: 3, paused: 1 }, []],
  ])("gives %s", (_what, { waiting, paused }, exp_samples) => {
    mkdirSync(DIR, { recursive: true });
    const { query } = parse(readFileSync(scaled, "utf8")).spec.triggers[0].metadata;
    const series = (name: string, labels: string, value: number) => ({
      series: `${name}{queue="deliveries"${labels}}`,
      values: `${value}x10`,
    });
    const tests = [
      {
        interval: "15s",
        // Two workers tell the same; one that has just been asked again tells a little more.
        input_series: [
          series("calendly_queue_oldest_job_seconds", ',pod="a"', 38),
          series("calendly_queue_oldest_job_seconds", ',pod="b"', 40),
          ...["a", "b"].flatMap((pod) => [
            series("calendly_queue_jobs", `,state="waiting",pod="${pod}"`, waiting),
            series("calendly_queue_jobs", `,state="delayed",pod="${pod}"`, 5),
            series("calendly_queue_paused", `,pod="${pod}"`, paused),
          ]),
        ],
        promql_expr_test: [{ expr: query, eval_time: "1m", exp_samples }],
      },
    ];
    writeFileSync(`${DIR}query.yml`, stringify({ tests }));
    const { stdout, stderr } = spawnSync("promtool", ["test", "rules", `${DIR}query.yml`], { encoding: "utf8" });
    expect(`${stdout}${stderr}`).toContain("SUCCESS");
  });
});
