import { expect, test } from "@jest/globals";
import { createMeter } from "./meter.ts";
import { METRICS, type MetricSpec } from "./metrics.ts";

const linesOf = (text: string, name: string) => text.split("\n").filter((line) => line.startsWith(name));

test("what is read anew is told as it is, and is absent when it is not told", async () => {
  const meter = createMeter("worker");
  let isThere = true;
  meter.read(async (tell) => {
    if (!isThere) return;
    tell("conflictsOpen", {}, 3);
    tell("subscriptionProblem", { code: "silent" }, 1);
    tell("cacheReads", { result: "hit" }, 7);
  });
  for (const _ of [1, 2]) {
    const text = await meter.text();
    expect(linesOf(text, "calendly_conflicts_open")).toEqual(["calendly_conflicts_open 3"]);
    expect(linesOf(text, "calendly_subscription_problem")).toEqual(['calendly_subscription_problem{code="silent"} 1']);
    expect(linesOf(text, "calendly_cache_reads_total")).toContain('calendly_cache_reads_total{result="hit"} 7');
  }
  isThere = false;
  const text = await meter.text();
  expect(linesOf(text, "calendly_conflicts_open")).toEqual([]);
  expect(linesOf(text, "calendly_subscription_retry_start")).toEqual([]);
  expect(linesOf(text, "calendly_subscription_problem")).toEqual([]);
});

test("a total that is read anew is absent where it cannot be read, also before it ever was: 0 would be a counter begun anew", async () => {
  const meter = createMeter("worker");
  let total: number | undefined;
  meter.read(async (tell) => {
    if (total !== undefined) tell("deafWorkers", {}, total);
  });
  const told = async () => linesOf(await meter.text(), "calendly_deaf_workers_total");
  expect(await told()).toEqual([]);
  total = 3;
  expect(await told()).toEqual(["calendly_deaf_workers_total 3"]);
  total = undefined;
  expect(await told()).toEqual([]);
  total = 0;
  expect(await told()).toEqual(["calendly_deaf_workers_total 0"]);
  // What the process counts itself stands there from the start on.
  expect(linesOf(await meter.text(), "calendly_fleet_read_errors_total")).toEqual([
    "calendly_fleet_read_errors_total 0",
  ]);
});

test("labels come from closed sets: all else is other", async () => {
  const meter = createMeter("ingest");
  meter.count("deliveries", { event: "invitee.danced", result: "accepted", key: "primary" });
  for (let id = 0; id < 1_000; id++) {
    meter.count("deliveries", { event: `somebody-${id}@example.org`, result: "accepted", key: `key-${id}` });
  }
  const lines = linesOf(await meter.text(), "calendly_deliveries_total");
  expect(lines).toEqual([
    'calendly_deliveries_total{event="other",result="accepted",key="primary"} 1',
    'calendly_deliveries_total{event="other",result="accepted",key="other"} 1000',
  ]);
});

test("of what an installation sets up itself there is a limit too", async () => {
  const meter = createMeter("worker");
  for (let id = 0; id < 1_000; id++) meter.count("pushes", { destination: `d${id}`, result: "delivered" });
  const lines = linesOf(await meter.text(), "calendly_pushes_total");
  expect(lines).toHaveLength(201);
  expect(lines.at(-1)).toBe('calendly_pushes_total{destination="other",result="delivered"} 800');
});

test("what is counted begins at zero, so that its first time is an increase", async () => {
  const text = await createMeter("ingest").text();
  expect(linesOf(text, "calendly_signature_failures_total")).toHaveLength(4);
  expect(linesOf(text, 'calendly_late_deliveries_total{result="deferred"}')).toEqual([
    'calendly_late_deliveries_total{result="deferred"} 0',
  ]);
});

test("names bear their unit, as Prometheus has it, and are told once", () => {
  const specs = Object.values<MetricSpec>(METRICS);
  expect(new Set(specs.map(({ name }) => name)).size).toBe(specs.length);
  for (const { name, kind, help } of specs) {
    expect(name).toMatch(/^calendly_[a-z_]+$/);
    expect([name, name.endsWith("_total")]).toEqual([name, kind === "counter"]);
    expect(help).toMatch(/\.$/);
  }
});

test("an app cannot tell of another's", () => {
  expect(() => createMeter("ingest").count("facts", { origin: "webhook", result: "folded" })).toThrow(
    "calendly_facts_total is none of the ingest's metrics",
  );
});
