import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "@jest/globals";
import { type Figure, figure, inDigits, isKept } from "./figures.ts";
import { renderBenchmark } from "./render.ts";

const MAIN = new URL("./main.ts", import.meta.url).pathname;
const ABOUT = { part: "ingest", what: "CPU per delivery", unit: "µs" };

/** Processes, and what they cost, are read from /proc. */
const onLinux = process.platform === "linux" ? test : test.skip;

onLinux(
  "the short form measures every part, and nothing comes out wrong",
  async () => {
    const args = ["--disable-warning=ExperimentalWarning", MAIN, "--short", "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 24 });
    const { figures } = JSON.parse(stdout) as { readonly figures: readonly Figure[] };
    expect([...new Set(figures.map(({ part }) => part))]).toEqual(["ingest", "worker", "growth", "shards"]);
    expect(figures.filter((one) => isKept(one) !== undefined).length).toBeGreaterThan(10);
    for (const { ours } of figures) expect(ours.median).toEqual(expect.any(Number));
  },
  600_000,
);

test("a figure is held against the other's by the medians", () => {
  const one = figure({ ...ABOUT, atMost: 1.4 }, [30, 10, 20], { name: "limit", values: [10, 40, 16] });
  expect(one).toMatchObject({ ours: { median: 20, least: 10, most: 30 }, ratio: 1.25 });
  expect(isKept(one)).toBe(true);
  expect(isKept({ ...one, ratio: 1.41 })).toBe(false);
});

test("of two values the median lies in the middle", () => {
  expect(figure(ABOUT, [10, 20]).ours.median).toBe(15);
});

test("a figure that stands alone is held against its bound", () => {
  expect(isKept(figure({ ...ABOUT, atMost: 300 }, [299]))).toBe(true);
  expect(isKept(figure({ ...ABOUT, atMost: 300 }, [301]))).toBe(false);
  expect(isKept(figure({ ...ABOUT, atLeast: 0.6 }, [0.5]))).toBe(false);
  expect(isKept(figure(ABOUT, [1]))).toBeUndefined();
});

test.each([
  [1234.5, "1,235"],
  [99.94, "99.9"],
  [9.876, "9.88"],
])("%d is written %s", (value, text) => expect(inDigits(value)).toBe(text));

test("the table says where it was measured, and which aims are missed", () => {
  const machine = { cpu: "a CPU", cores: 2, memoryGb: 8, system: "Linux 6.1", node: "24.0.0", redis: "7.0.15" };
  const figures = [figure({ ...ABOUT, atMost: 1.4 }, [40, 20], { name: "limit", values: [10] })];
  const text = renderBenchmark({ measuredAt: "2026-01-02T03:04:05.000Z", machine, rounds: 2, figures });
  expect(text).toContain("Measured on 2026-01-02: a CPU, 2 cores, 8 GB, Linux 6.1, Node 24.0.0, Redis 7.0.15");
  expect(text).toContain(
    "| ingest: CPU per delivery | 30.0 µs (20.0 to 40.0) | 10.0, limit | 3.00 | ≤ 1.4 **not kept** |",
  );
});
