import type { Schedule } from "@calendly-worker/core/queues/schedules";

const MINUTE_MS = 60_000;

/** Everything that is done again and again, whatever is delivered. */
export const SCHEDULES = [
  { name: "look-after-unfinished", everyMs: 5 * MINUTE_MS },
  { name: "trim-outcomes", everyMs: 60 * MINUTE_MS },
] as const satisfies readonly Schedule[];

export type TaskName = (typeof SCHEDULES)[number]["name"];
