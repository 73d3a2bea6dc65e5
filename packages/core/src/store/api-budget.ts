import type { Redis } from "../redis/connect.ts";
import { apiBudgetKey } from "../redis/keys.ts";

/** What is left of the account's requests in this window; undefined before the first answer. */
export interface ApiBudget {
  readonly limit: number | undefined;
  readonly left: number | undefined;
  readonly isUsedUp: boolean;
}

export async function readApiBudget(redis: Redis, now: number): Promise<ApiBudget> {
  const { limit, used = "0", ends = "0", blocked_until = "0" } = await redis.hgetall(apiBudgetKey);
  const isBlocked = Number(blocked_until) > now;
  if (limit === undefined) return { limit: undefined, left: undefined, isUsedUp: isBlocked };
  const left = Number(ends) > now ? Math.max(0, Number(limit) - Number(used)) : Number(limit);
  return { limit: Number(limit), left: isBlocked ? 0 : left, isUsedUp: isBlocked || left === 0 };
}
