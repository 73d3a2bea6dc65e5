import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { variables } from "@calendly-worker/core/config/schema";
import { METRICS } from "@calendly-worker/core/telemetry/metrics";
import { describe, expect, test } from "@jest/globals";
import { stringify } from "yaml";
import { ALERTS } from "../../ops/prometheus/alerts.ts";
import { annotationsOf, renderRules, runbookOf } from "../../ops/prometheus/render.ts";
import { describeWith } from "../support/tools.ts";
import { type AlertCase, CASES, type Series } from "./alert-cases.ts";
import { metricNamesIn } from "./expressions.ts";

const DIR = new URL("../../.local/alerts/", import.meta.url).pathname;
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

function promtool(...args: string[]) {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { encoding: "utf8" });
  if (error !== undefined)
    throw new Error("promtool is needed: it comes with Debian's package prometheus", { cause: error });
  return { status, output: `${stdout}${stderr}` };
}

/** What promtool says of tests of the rules. */
function promtoolTests(tests: readonly object[]) {
  mkdirSync(DIR, { recursive: true });
  writeFileSync(`${DIR}rules.yml`, renderRules());
  writeFileSync(`${DIR}tests.yml`, stringify({ rule_files: ["rules.yml"], evaluation_interval: "30s", tests }));
  return promtool("test", "rules", `${DIR}tests.yml`);
}

/** One test for each of the series that a case names; it looks at the alert at the case's minute. */
function testsWith(part: "fires" | "quiet", labelsOf: (one: AlertCase) => readonly object[]) {
  return Object.entries(CASES).flatMap(([name, one]) =>
    [one[part]].flat().map((series) => ({
      interval: "1m",
      input_series: seriesOf(series),
      alert_rule_test: [expectation(name, one.at, labelsOf(one))],
    })),
  );
}

const seriesOf = (series: Series) => Object.entries(series).map(([name, values]) => ({ series: name, values }));

function expectation(name: string, at: number, labels: readonly object[]) {
  const alert = ALERTS.find((one) => one.name === name);
  if (alert === undefined) throw new Error(`there is no alert ${name}`);
  const exp_alerts = labels.map((own) => ({
    exp_labels: { severity: alert.severity, ...own },
    exp_annotations: annotationsOf(alert),
  }));
  return { eval_time: `${at}m`, alertname: name, exp_alerts };
}

describeWith("prometheus", "the alert rules", () => {
  test("the rules are ones that Prometheus takes", () => {
    mkdirSync(DIR, { recursive: true });
    for (const factor of [1, 60]) {
      writeFileSync(`${DIR}checked.yml`, renderRules(factor));
      expect(promtool("check", "rules", `${DIR}checked.yml`).output).toContain("SUCCESS");
    }
  });

  test("every alert has a case", () => {
    expect(Object.keys(CASES).toSorted()).toEqual(ALERTS.map(({ name }) => name).toSorted());
  });

  describe("each alert", () => {
    test("fires when it should", () => {
      const tests = testsWith("fires", ({ labels = {} }) => [labels]);
      expect(promtoolTests(tests)).toEqual({ status: 0, output: expect.stringContaining("SUCCESS") });
    });

    test("does not fire when it should not", () => {
      const tests = testsWith("quiet", () => []);
      expect(promtoolTests(tests)).toEqual({ status: 0, output: expect.stringContaining("SUCCESS") });
    });

    test("without any data fires only where it is about that", () => {
      const alert_rule_test = Object.entries(CASES).map(([name, { firesOnAbsence = [] }]) =>
        expectation(name, 30, firesOnAbsence),
      );
      const tests = [{ interval: "1m", input_series: seriesOf({ other: "1x60" }), alert_rule_test }];
      expect(promtoolTests(tests)).toEqual({ status: 0, output: expect.stringContaining("SUCCESS") });
    });

    test("would be found out if it did not", () => {
      const alert_rule_test = [expectation("CalendlyConflictsOpen", 20, [{}])];
      const input_series = seriesOf({ calendly_conflicts_open: "0x60" });
      expect(promtoolTests([{ interval: "1m", input_series, alert_rule_test }]).status).toBe(1);
    });
  });

  // As ingests and workers tell it; who lives is told by workers, who read it from Redis.
  const ingest = (fit: string) => ({ 'calendly_redis_fit{job="ingest"}': fit });
  const worker = (fit: string) => ({ 'calendly_redis_fit{job="worker"}': fit, calendly_api_circuit_open: "0x60" });
  const living = (ingests: string, workers: string) => ({
    'calendly_instances{kind="ingest"}': ingests,
    'calendly_instances{kind="worker"}': workers,
  });
  const WELL = "1x60";
  const AT_FIRST = "1x5 0x60";
  const GONE = "1x5 stale";
  const BOTH = [{ kind: "worker" }, { kind: "ingest" }];

  test.each<readonly [string, Series, { readonly absent: readonly object[]; readonly isUnsafe: boolean }]>([
    ["all is well", { ...ingest(WELL), ...worker(WELL), ...living(WELL, WELL) }, { absent: [], isUnsafe: false }],
    [
      "Redis is away",
      { ...ingest(AT_FIRST), ...worker(AT_FIRST), ...living(GONE, GONE) },
      { absent: [], isUnsafe: true },
    ],
    [
      "Redis takes no writes, so that nobody can say that it lives",
      { ...ingest(AT_FIRST), ...worker(AT_FIRST), ...living(AT_FIRST, AT_FIRST) },
      { absent: [], isUnsafe: true },
    ],
    [
      "the workers alone do not reach Redis",
      { ...ingest(WELL), ...worker(AT_FIRST), ...living(GONE, GONE) },
      { absent: [], isUnsafe: true },
    ],
    ["nothing is scraped", {}, { absent: BOTH, isUnsafe: false }],
    ["there is no worker", ingest(WELL), { absent: BOTH, isUnsafe: false }],
    ["there is no worker, and Redis is away", ingest(AT_FIRST), { absent: BOTH, isUnsafe: true }],
    [
      "there is no ingest",
      { ...worker(WELL), ...living(AT_FIRST, WELL) },
      { absent: [{ kind: "ingest" }], isUnsafe: false },
    ],
    [
      "there is no ingest, and Redis is nearly full",
      { ...worker(AT_FIRST), ...living(AT_FIRST, WELL) },
      { absent: [{ kind: "ingest" }], isUnsafe: true },
    ],
  ])("who is told to be absent where %s", (_, series, { absent, isUnsafe }) => {
    const alert_rule_test = ALERTS.map(({ name }) => {
      if (name === "CalendlyWorkerAbsent") return expectation(name, 20, absent);
      return expectation(name, 20, name === "CalendlyRedisUnsafe" && isUnsafe ? [{}] : []);
    });
    const tests = [{ interval: "1m", input_series: seriesOf({ other: WELL, ...series }), alert_rule_test }];
    expect(promtoolTests(tests)).toEqual({ status: 0, output: expect.stringContaining("SUCCESS") });
  });

  test("at most eight wake people", () => {
    expect(ALERTS.filter(({ severity }) => severity === "page").length).toBeLessThanOrEqual(8);
  });

  test("the guardian looks as often as its alert expects at the least", () => {
    const stopped = ALERTS.find(({ name }) => name === "CalendlyGuardianStopped");
    const [, seconds] = / > (\d+)$/.exec(stopped?.expr({ window: String, seconds: String }) ?? "") ?? [];
    const { schema } = variables.CALENDLY_SUBSCRIPTION_CHECK_INTERVAL;
    expect(schema.safeParse(seconds).success).toBe(true);
    expect(schema.safeParse(String(Number(seconds) + 1)).success).toBe(false);
  });

  test("every alert has its entry in the runbook, and the runbook none without one", () => {
    const entries = [...read("docs/operations.md").matchAll(/^### (Calendly\w+)$/gm)].map(([, name]) => name);
    expect(entries).toEqual(ALERTS.map(({ name }) => name));
    for (const alert of ALERTS) expect(runbookOf(alert)).toBe(`docs/operations.md#${alert.name.toLowerCase()}`);
  });

  test("the rules name only metrics that are declared, and what the fleet tells is read with max or min", () => {
    const rules = renderRules();
    expect(metricNamesIn(rules).undeclared).toEqual([]);
    const fleet = Object.values(METRICS).filter(({ by, kind }) => by === "fleet" && kind !== "counter");
    const summed = fleet.filter(({ name }) => new RegExp(`\\bsum\\b[^(]*\\([^()]*\\b${name}\\b`).test(rules));
    expect(summed.map(({ name }) => name)).toEqual([]);
  });
});
