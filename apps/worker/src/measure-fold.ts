import type { Origin } from "@calendly-worker/core/bookings/facts";
import type { Outcome } from "@calendly-worker/core/bookings/outcomes";
import type { Delivery } from "@calendly-worker/core/store/bookings";
import type { Flow } from "@calendly-worker/core/store/flow";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import type { Folded } from "./fold.ts";

/** Counts what is folded and published, and times it. */
export interface FoldMeasure {
  folded(result: Folded | "failed", origin: Origin): void;
  /** `delivery` is what it followed from, where that was one. */
  published(outcomes: readonly Pick<Outcome, "type">[], origin: Origin, delivery: Delivery | undefined): void;
}

export function createFoldMeasure(meter: Meter, flow: Flow, now: () => number): FoldMeasure {
  return {
    folded(result, origin) {
      meter.count("facts", { origin, result });
      if (result === "folded") flow.count("folded");
      if (result === "failed") flow.count("failed");
    },
    published(outcomes, origin, delivery) {
      for (const { type } of outcomes) meter.count("outcomes", { type, origin });
      flow.count("published", outcomes.length);
      if (origin !== "webhook" || delivery === undefined || outcomes.length === 0) return;
      meter.observe("acknowledgedToOutcome", {}, secondsSince(delivery.receivedAt));
      const { created_at: createdAt } = JSON.parse(delivery.body) as { created_at?: unknown };
      if (typeof createdAt === "string") meter.observe("endToEnd", {}, secondsSince(createdAt));
    },
  };

  /** Clocks differ: less than nothing is nothing. */
  function secondsSince(time: string): number {
    return Math.max(now() - Date.parse(time), 0) / 1_000;
  }
}
