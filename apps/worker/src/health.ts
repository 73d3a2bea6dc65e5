import type { Cache } from "@calendly-worker/core/calendly/cache";
import { tokenState } from "@calendly-worker/core/calendly/credential-advice";
import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import type { QueueLoad } from "@calendly-worker/core/queues/queue-load";
import type { ApiBudget } from "@calendly-worker/core/store/api-budget";
import type { Credentials, SubscriptionRecord } from "@calendly-worker/core/store/credentials";

/** Why the integration is not as it should be. A closed list. */
export const REASONS = [
  "redis_not_writable",
  "no_token_works",
  "token_failed_over",
  "token_approaching_limit",
  "api_budget_used_up",
  "deliveries_pile_up",
  "subscription_missing",
  "subscription_disabled",
  "subscription_retrying",
] as const;
export type Reason = (typeof REASONS)[number];

export interface Health {
  readonly status: "ok" | "degraded" | "down";
  readonly reasons: readonly Reason[];
  /** For those who may look: what is behind it. */
  readonly details: object;
}

const OLD_DELIVERY_MS = 5 * 60_000;

/** What the monitors and the processes last saw. Calendly is not asked, and Redis is waited for by nobody. */
export function createHealth(ports: {
  readonly isRedisFit: () => Promise<boolean>;
  readonly gate: ApiGate;
  readonly credentials: Credentials;
  readonly budget: () => Promise<ApiBudget>;
  readonly deliveries: () => Promise<QueueLoad>;
  readonly cache: Cache<object> | undefined;
  readonly maxUsage: number;
}): () => Promise<Health> {
  const { isRedisFit, gate, credentials, budget, deliveries, cache, maxUsage } = ports;

  return async () => {
    if (!(await isRedisFit())) return { status: "down", reasons: ["redis_not_writable"], details: {} };
    const [records, keys, left, load, report] = await Promise.all([
      credentials.tokens(gate.tokens),
      credentials.signingKeys({}),
      budget(),
      deliveries(),
      credentials.report(),
    ]);
    const lastUses = keys.flatMap(({ lastUsedAt }) => lastUsedAt ?? []);
    const tokens = records.map((token) => ({ ...token, state: tokenState(token, maxUsage) }));
    const isDead = ({ seen }: (typeof tokens)[number]) => seen !== undefined && seen !== "active";
    const reasons: Reason[] = [];
    if (tokens.every(isDead)) reasons.push("no_token_works");
    else if (tokens.some((token) => token.slot === "primary" && isDead(token))) reasons.push("token_failed_over");
    if (tokens.some(({ state }) => state === "approaching_limit")) reasons.push("token_approaching_limit");
    if (left.isUsedUp) reasons.push("api_budget_used_up");
    if ((load.oldestWaitingMs ?? 0) > OLD_DELIVERY_MS) reasons.push("deliveries_pile_up");
    reasons.push(...reasonsOf(report?.subscriptions));
    return {
      status: reasons.length === 0 ? "ok" : "degraded",
      reasons,
      details: {
        tokens,
        signingKeys: keys.map(({ verifiedSinceCheck: _, ...key }) => key),
        lastDeliveryAt: lastUses.length === 0 ? null : new Date(Math.max(...lastUses)).toISOString(),
        advice: report?.advice ?? [],
        checkedAt: report?.checkedAt ?? null,
        budget: left,
        cache: cache === undefined ? null : withRatio(cache.stats()),
        redis: { writable: true },
        subscriptions: report?.subscriptions ?? null,
        deliveries: load,
      },
    };
  };
}

function reasonsOf(subscriptions: readonly SubscriptionRecord[] | undefined): Reason[] {
  if (subscriptions === undefined) return [];
  if (subscriptions.length === 0) return ["subscription_missing"];
  const reasons: Reason[] = [];
  if (subscriptions.every(({ state }) => state !== "active")) reasons.push("subscription_disabled");
  if (subscriptions.some(({ retryStartedAt }) => retryStartedAt !== null)) reasons.push("subscription_retrying");
  return reasons;
}

/** Of this process alone; null before anything was asked for. */
function withRatio({ hits, misses, stale }: ReturnType<Cache<object>["stats"]>) {
  const asked = hits + misses;
  return { hits, misses, stale, hitRatio: asked === 0 ? null : Math.round((hits / asked) * 1_000) / 1_000 };
}
