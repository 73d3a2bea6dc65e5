import { describe, expect, test } from "@jest/globals";
import { describeWith } from "../support/tools.ts";
import { STEADY_FAULTS, slopeOf, soak } from "./soak.ts";

const SEED = Number(process.env["SOAK_SEED"] ?? Math.floor(Date.now() / 86_400_000));

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

// The short form of `pnpm soak`, with a seed of its own each day. What heaps do shows only after longer.
describeWith("faketime", "three minutes under load, hurt every twenty seconds", () => {
  test("nothing is lost or told twice, nobody is let in, and nothing stays beyond its retention", async () => {
    const { ledger, problems, faults, forgedAndAccepted, afterRetention, samples } = await soak({
      seed: SEED,
      minutes: 3,
      deliveriesPerSecond: 100,
      calmMs: 17_000,
      faultMs: 3_000,
      ages: true,
      onSample: () => {},
      onProgress: () => {},
    });
    const { acknowledged, lost, doubled, wrong, dead } = ledger;
    process.stdout.write(
      `${JSON.stringify({ seed: SEED, acknowledged, faults, last: samples.at(-1), afterRetention })}\n`,
    );
    expect({ seed: SEED, lost, doubled, wrong, dead, forgedAndAccepted }).toEqual({
      ...{ seed: SEED, lost: [], doubled: [], wrong: [], dead: 0 },
      forgedAndAccepted: 0,
    });
    expect(problems).toEqual([]);
    expect(afterRetention?.left).toEqual([]);
    // Less would show nothing.
    expect(acknowledged).toBeGreaterThan(3_000);
    expect(Object.keys(faults).length).toBeGreaterThan(2);
    expect(afterRetention?.before.keys).toBeGreaterThan(3_000);
    // Those of an installation, and of the few bookings that came after.
    expect(afterRetention?.after.keys).toBeLessThan(1_000);
  }, 1_800_000);
});
