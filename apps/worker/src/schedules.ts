import type { Schedule } from "@calendly-worker/core/queues/schedules";

const MINUTE_MS = 60_000;

export const TASKS = [
  "check-credentials",
  "guard-subscription",
  "look-after-unfinished",
  "reconcile-near",
  "reconcile-far",
  "reconcile-past",
  "expire-expectations",
  "trim-outcomes",
] as const;
export type TaskName = (typeof TASKS)[number];

/** Everything that is done again and again, whatever is delivered. What is switched off has no interval. */
export function schedulesOf(config: {
  readonly CALENDLY_KEY_ROTATION_MONITORING: boolean;
  readonly CALENDLY_KEY_ROTATION_CHECK_INTERVAL: number;
  readonly CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: number;
  readonly CALENDLY_RECONCILE_NEAR_INTERVAL: number;
  readonly CALENDLY_RECONCILE_FAR_INTERVAL: number;
  readonly CALENDLY_RECONCILE_PAST_INTERVAL: number;
}): readonly (Omit<Schedule, "name"> & { readonly name: TaskName })[] {
  const { CALENDLY_KEY_ROTATION_MONITORING: isMonitoring, CALENDLY_KEY_ROTATION_CHECK_INTERVAL: everyMs } = config;
  const everySeconds = (seconds: number) => (seconds === 0 ? undefined : seconds * 1_000);
  return [
    { name: "check-credentials", everyMs: isMonitoring ? everyMs : undefined },
    { name: "guard-subscription", everyMs: everySeconds(config.CALENDLY_SUBSCRIPTION_CHECK_INTERVAL) },
    { name: "reconcile-near", everyMs: everySeconds(config.CALENDLY_RECONCILE_NEAR_INTERVAL) },
    { name: "reconcile-far", everyMs: everySeconds(config.CALENDLY_RECONCILE_FAR_INTERVAL) },
    { name: "reconcile-past", everyMs: everySeconds(config.CALENDLY_RECONCILE_PAST_INTERVAL) },
    { name: "look-after-unfinished", everyMs: 5 * MINUTE_MS },
    { name: "expire-expectations", everyMs: 15_000 },
    { name: "trim-outcomes", everyMs: 60 * MINUTE_MS },
  ];
}
