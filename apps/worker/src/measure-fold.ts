import type { Flow } from "@calendly-worker/core/store/flow";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import type { FoldMeasure } from "./fold.ts";

/** Counts what is folded and published, and times it. */
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
      const { created_at: createdAt } = delivery.body as { readonly created_at?: unknown };
      if (typeof createdAt === "string") meter.observe("endToEnd", {}, secondsSince(createdAt));
    },
  };

  /** Clocks differ: less than nothing is nothing. */
  function secondsSince(time: string): number {
    return Math.max(now() - Date.parse(time), 0) / 1_000;
  }
}
