import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { loadConfig } from "@calendly-worker/core/config/load";
import { CLOSING_MS } from "@calendly-worker/core/lifecycle/run-app";
import { parse } from "yaml";
import { OBJECTIVE } from "../../ops/prometheus/alerts.ts";
import { metricNamesIn } from "./expressions.ts";
import { type Manifest, nameOf, ofKind, selects, workloads } from "./kubernetes-builds.ts";
import { environmentOf, variableFaults } from "./kubernetes-environment.ts";
import { type Invariant, TRAFFIC } from "./kubernetes-traffic.ts";

const RULES = new URL("../../ops/prometheus/rules.yml", import.meta.url);

/** What must hold of all that is applied: each gives what is wrong, as sentences. */
export const INVARIANTS: Readonly<Record<string, Invariant>> = {
  ...TRAFFIC,

  "every variable is known, secrets are only referred to, and the apps take it all": (manifests) => {
    const refusals = workloads(manifests).flatMap((workload) =>
      (["required", "all"] as const).flatMap((which) => {
        try {
          loadConfig([workload.app], environmentOf(manifests, workload, which));
          return [];
        } catch (error) {
          return [`${workload.app}: ${String(error)}`];
        }
      }),
    );
    const secrets = ofKind(manifests, "Secret").map((secret) => `${nameOf(secret)} is in the open`);
    return [...secrets, ...workloads(manifests).flatMap((one) => variableFaults(manifests, one)), ...refusals];
  },

  "a pod that is to stop has longer than it may take": (manifests) =>
    workloads(manifests).flatMap((workload) => {
      const { app, container, pod } = workload;
      const seconds = container["lifecycle"]?.preStop?.sleep?.seconds ?? 0;
      const { SHUTDOWN_DELAY: delay = 0, SHUTDOWN_DEADLINE: deadline } = environmentOf(manifests, workload, "all");
      const needed = seconds + Number(delay) + Number(deadline) + CLOSING_MS / 1_000;
      return [
        ...(pod["terminationGracePeriodSeconds"] > needed ? [] : [`${app}: is killed before ${needed} s are over`]),
        // Endpoints are taken away while the pod is told to stop, and not before.
        ...(seconds >= 5 ? [] : [`${app}: goes before others have heard of it`]),
      ];
    }),

  "there are never fewer than two, and never none available": (manifests) =>
    workloads(manifests).flatMap(({ app, deployment, labels, pod }) => {
      const { name } = deployment["metadata"];
      const { replicas, strategy } = deployment["spec"];
      const scalers = [...ofKind(manifests, "HorizontalPodAutoscaler"), ...ofKind(manifests, "ScaledObject")].filter(
        ({ spec }) => spec.scaleTargetRef.kind === "Deployment" && spec.scaleTargetRef.name === name,
      );
      const least = scalers.map(({ spec }) => spec.minReplicas ?? spec.minReplicaCount);
      const most = scalers.map(({ spec }) => spec.maxReplicas ?? spec.maxReplicaCount);
      const budgets = ofKind(manifests, "PodDisruptionBudget").filter(({ spec }) =>
        selects(spec.selector.matchLabels, labels),
      );
      const { maxUnavailable, maxSurge } = strategy.rollingUpdate ?? {};
      const rules = {
        "is decided upon by none or by two": scalers.length + (replicas === undefined ? 0 : 1) === 1,
        "may be fewer than two": Math.min(...least, replicas ?? 2) >= 2,
        "cannot become more": most.every((count, index) => count > (least[index] ?? 0)),
        idles: scalers.every(({ spec }) => spec.idleReplicaCount === undefined),
        "has no budget of one disruption": budgets.length === 1 && budgets[0]?.["spec"].maxUnavailable === 1,
        "is updated with fewer than before": strategy.type === "RollingUpdate" && maxUnavailable === 0 && maxSurge >= 1,
        "is not spread": ["kubernetes.io/hostname", "topology.kubernetes.io/zone"].every((key) =>
          pod["topologySpreadConstraints"]?.some(
            ({ topologyKey, labelSelector }: Manifest) =>
              topologyKey === key && selects(labelSelector.matchLabels, labels),
          ),
        ),
      };
      return broken(app, rules);
    }),

  "what runs may do no more than it needs": (manifests) =>
    workloads(manifests).flatMap(({ app, pod, container }) => {
      const { securityContext: own = {}, resources = {} } = container;
      const { securityContext: shared = {} } = pod;
      return broken(app, {
        "may be root":
          shared.runAsNonRoot === true &&
          Number.isInteger(shared.runAsUser) &&
          shared.runAsUser > 0 &&
          own.runAsUser === undefined,
        "has no seccomp profile": shared.seccompProfile?.type === "RuntimeDefault" && own.seccompProfile === undefined,
        "has a token of the cluster": pod["automountServiceAccountToken"] === false,
        "shares the node's": ["hostNetwork", "hostPID", "hostIPC"].every((what) => pod[what] !== true),
        "has the node's files": (pod["volumes"] ?? []).every((volume: Manifest) => volume["hostPath"] === undefined),
        "may write": own.readOnlyRootFilesystem === true,
        "may gain rights": own.allowPrivilegeEscalation === false && own.privileged !== true,
        "has capabilities": String(own.capabilities?.drop) === "ALL" && own.capabilities?.add === undefined,
        "asks for no resources": Boolean(
          resources.requests?.cpu && resources.requests?.memory && resources.limits?.memory,
        ),
      });
    }),

  "monitoring has the rules of Prometheus, and scaling a metric that there is": (manifests) => [
    ...ofKind(manifests, "PrometheusRule").flatMap((rule) =>
      isDeepStrictEqual(rule["spec"], parse(readFileSync(RULES, "utf8"))) ? [] : [`${nameOf(rule)} is not rules.yml`],
    ),
    ...ofKind(manifests, "PodMonitor").flatMap((monitor) =>
      monitor["spec"].podMetricsEndpoints
        .filter(
          ({ path, authorization }: Manifest) =>
            path !== "/metrics" || authorization?.credentials?.key !== "METRICS_TOKEN",
        )
        .map(() => `${nameOf(monitor)} is not let in`),
    ),
    ...ofKind(manifests, "ScaledObject").flatMap((scaled) =>
      scaled["spec"].triggers.flatMap(({ metadata: { query, threshold }, metricType }: Manifest) => {
        const { used, undeclared } = metricNamesIn(query);
        return broken(nameOf(scaled), {
          "asks for what nobody tells": undeclared.length === 0,
          "does not go by the age": used.includes("calendly_queue_oldest_job_seconds") && metricType === "Value",
          "acts too late": Number(threshold) < OBJECTIVE.withinSeconds,
        });
      }),
    ),
  ],
};

function broken(what: string, rules: Readonly<Record<string, boolean | undefined>>): string[] {
  return Object.entries(rules).flatMap(([fault, holds]) => (holds ? [] : [`${what} ${fault}`]));
}
