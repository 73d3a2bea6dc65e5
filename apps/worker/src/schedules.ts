import type { Schedule } from "@calendly-worker/core/queues/schedules";

const MINUTE_MS = 60_000;

export const TASKS = ["check-credentials", "look-after-unfinished", "trim-outcomes"] as const;
export type TaskName = (typeof TASKS)[number];

/** Everything that is done again and again, whatever is delivered. What is switched off has no interval. */
export function schedulesOf(config: {
  readonly CALENDLY_KEY_ROTATION_MONITORING: boolean;
  readonly CALENDLY_KEY_ROTATION_CHECK_INTERVAL: number;
}): readonly (Omit<Schedule, "name"> & { readonly name: TaskName })[] {
  const { CALENDLY_KEY_ROTATION_MONITORING: isMonitoring, CALENDLY_KEY_ROTATION_CHECK_INTERVAL: everyMs } = config;
  return [
    { name: "check-credentials", everyMs: isMonitoring ? everyMs : undefined },
    { name: "look-after-unfinished", everyMs: 5 * MINUTE_MS },
    { name: "trim-outcomes", everyMs: 60 * MINUTE_MS },
  ];
}
