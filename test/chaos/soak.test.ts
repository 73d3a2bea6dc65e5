import { describe, expect, test } from "@jest/globals";
import { STEADY_FAULTS, slopeOf } from "./soak.ts";

describe("what a soak reports", () => {
  test("a heap that grows has a slope above its noise", () => {
    const points = Array.from({ length: 60 }, (_, minute) => [minute / 60, 100 + minute + (minute % 7)] as const);
    const { perHour, noise } = slopeOf(points);
    expect(perHour).toBeGreaterThan(noise);
    expect(perHour).toBeCloseTo(60, -1);
  });

  test("one that only goes up and down has none", () => {
    const points = Array.from({ length: 70 }, (_, minute) => [minute / 60, 100 + (minute % 7) * 10] as const);
    const { perHour, noise } = slopeOf(points);
    expect(Math.abs(perHour)).toBeLessThan(noise);
  });

  test("its faults leave the ingest and the first worker alive", () => {
    const names = STEADY_FAULTS.map(({ name }) => name);
    expect(names).toContain("a worker: kill -9");
    expect(names.length).toBeGreaterThan(12);
    expect(names.filter((name) => /^(ingest|workers).*(kill|SIGTERM)/.test(name))).toEqual([]);
  });
});
