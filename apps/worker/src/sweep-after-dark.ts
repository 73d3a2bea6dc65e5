import { randomUUID } from "node:crypto";
import type { DataOf } from "@calendly-worker/core/queues/contract";
import type { sweeps } from "@calendly-worker/core/queues/contracts";

const DAY_MS = 86_400_000;

/**
 * The comparison that closes a gap in the deliveries: of all events that had not ended when it began, and nothing is left
 * to a delivery. Times in ms.
 */
export function sweepAfterDark(
  { CALENDLY_RECONCILE_PAST_DAYS: pastDays }: { readonly CALENDLY_RECONCILE_PAST_DAYS: number },
  darkSince: number,
  now: number,
): DataOf<typeof sweeps> {
  const from = new Date(Math.min(now - pastDays * DAY_MS, darkSince - DAY_MS)).toISOString();
  return { kind: "range", name: `after-dark-${randomUUID()}`, from, to: null, graceMs: 0, isDryRun: false };
}
