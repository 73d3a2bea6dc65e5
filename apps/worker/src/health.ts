import type { Cache } from "@calendly-worker/core/calendly/cache";
import { tokenState } from "@calendly-worker/core/calendly/credential-advice";
import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import type { ApiBudget } from "@calendly-worker/core/store/api-budget";
import type { Credentials } from "@calendly-worker/core/store/credentials";
import type { QueueLoad } from "@calendly-worker/core/store/queue-load";
import type { SubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import type { SweepRun } from "@calendly-worker/core/store/sweep-runs";
import type { Guarded } from "./guarded.ts";
import type { ProblemCode } from "./jobs/guard-subscription.ts";

/** Why the integration is not as it should be. A closed list. */
export const REASONS = [
  "redis_not_writable",
  "no_token_works",
  "token_failed_over",
  "token_approaching_limit",
  "api_budget_used_up",
  "deliveries_pile_up",
  "deliveries_paused",
  "deliveries_silent",
  "subscription_missing",
  "subscription_disabled",
  "subscription_retrying",
  "subscription_events_differ",
  "subscription_doubled",
  "subscription_stray",
  "subscription_not_healed",
  "subscription_unchecked",
  "rotation_stalled",
] as const;
export type Reason = (typeof REASONS)[number];

export interface Health {
  readonly status: "ok" | "degraded" | "down";
  readonly reasons: readonly Reason[];
  /** For those who may look: what is behind it. */
  readonly details: object;
}

const OLD_DELIVERY_MS = 5 * 60_000;
/** Longer than the longest time between two looks at the subscription; as long as the alert about it waits. */
const UNCHECKED_MS = 65 * 60_000;

/** What the monitors and the processes last saw. Calendly is not asked, and Redis is waited for by nobody. */
export function createHealth(ports: {
  readonly isRedisFit: () => Promise<boolean>;
  readonly gate: ApiGate;
  readonly credentials: Credentials;
  readonly subscriptions: Pick<SubscriptionStore, "report">;
  readonly guarded: Guarded;
  /** When the installation began, in ms. */
  readonly beganAt: () => number;
  /** How the last comparison of each band with Calendly's API ended. */
  readonly compared: () => Promise<readonly SweepRun[]>;
  readonly budget: () => Promise<ApiBudget>;
  readonly deliveries: () => Promise<QueueLoad>;
  readonly cache: Cache<object> | undefined;
  readonly maxUsage: number;
  readonly now: () => number;
}): () => Promise<Health> {
  const { isRedisFit, gate, credentials, guarded, budget, deliveries, cache, maxUsage, now } = ports;
  // What was found before it was switched off says nothing of today.
  const guardiansReport = async () => (guarded === "nothing" ? undefined : await ports.subscriptions.report());

  return async () => {
    if (!(await isRedisFit())) return { status: "down", reasons: ["redis_not_writable"], details: {} };
    const [records, keys, left, load, report, subscription, comparisons] = await Promise.all([
      credentials.tokens(gate.tokens),
      credentials.signingKeys({}),
      budget(),
      deliveries(),
      credentials.report(),
      guardiansReport(),
      ports.compared(),
    ]);
    const lastDeliveryAt = await credentials.lastDeliveryAt();
    const tokens = records.map((token) => ({ ...token, state: tokenState(token, maxUsage) }));
    const isDead = ({ seen }: (typeof tokens)[number]) => seen !== undefined && seen !== "active";
    const reasons: Reason[] = [];
    if (tokens.every(isDead)) reasons.push("no_token_works");
    else if (tokens.some((token) => token.slot === "primary" && isDead(token))) reasons.push("token_failed_over");
    if (tokens.some(({ state }) => state === "approaching_limit")) reasons.push("token_approaching_limit");
    if (left.isUsedUp) reasons.push("api_budget_used_up");
    if ((load.oldestJobMs ?? 0) > OLD_DELIVERY_MS) reasons.push("deliveries_pile_up");
    if (load.isPaused) reasons.push("deliveries_paused");
    const problems = subscription?.problems ?? [];
    reasons.push(...new Set(problems.map(({ code }) => REASON_OF[code as ProblemCode])));
    const lookedAt = subscription?.checkedAt ? Date.parse(subscription.checkedAt) : ports.beganAt();
    if (guarded === "subscription" && now() - lookedAt > UNCHECKED_MS) reasons.push("subscription_unchecked");
    return {
      status: reasons.length === 0 ? "ok" : "degraded",
      reasons,
      details: {
        tokens,
        signingKeys: keys.map(({ verifiedSinceCheck: _, ...key }) => key),
        lastDeliveryAt: lastDeliveryAt === undefined ? null : new Date(lastDeliveryAt).toISOString(),
        advice: report?.advice ?? [],
        checkedAt: report?.checkedAt ?? null,
        budget: left,
        cache: cache === undefined ? null : withRatio(cache.stats()),
        redis: { writable: true },
        subscription: subscription ?? null,
        reconciliation: comparisons.map(withMissedRatio),
        deliveries: load,
      },
    };
  };
}

/** What the guardian finds, in the words of health. */
const REASON_OF: Readonly<Record<ProblemCode, Reason>> = {
  missing: "subscription_missing",
  disabled: "subscription_disabled",
  retrying: "subscription_retrying",
  events_differ: "subscription_events_differ",
  doubled: "subscription_doubled",
  stray: "subscription_stray",
  not_healed: "subscription_not_healed",
  silent: "deliveries_silent",
  rotation_stalled: "rotation_stalled",
};

/** Of this process alone; null before anything was asked for. */
function withRatio({ hits, misses, stale }: ReturnType<Cache<object>["stats"]>) {
  const asked = hits + misses;
  return { hits, misses, stale, hitRatio: asked === 0 ? null : Math.round((hits / asked) * 1_000) / 1_000 };
}

/** Of a comparison with Calendly's API; the ratio of missed deliveries is null where there was no fact to compare. */
function withMissedRatio({
  name,
  endedAt,
  seen,
  read,
  unreadable,
  passedOver = 0,
  requests,
  facts,
  missed,
  historical,
  longestLagMs,
}: SweepRun) {
  const count = Object.values(missed).reduce((total, one) => total + one, 0);
  const missedRatio = facts === 0 ? null : Math.round((count / facts) * 1_000) / 1_000;
  return {
    name,
    endedAt,
    seen,
    read,
    unreadable,
    passedOver,
    requests,
    facts,
    missed,
    missedRatio,
    historical,
    longestLagMs,
  };
}
