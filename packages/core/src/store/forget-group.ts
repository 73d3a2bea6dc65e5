import { RefusalError } from "../config/refusal.ts";
import type { Redis } from "../redis/connect.ts";
import {
  groupAttemptsKey,
  groupDeadLettersKey,
  groupLeaseKey,
  groupMembersKey,
  outcomeStreamKey,
  type Shard,
  type Shards,
} from "../redis/keys.ts";
import { readGroups } from "./outcome-groups.ts";

/** The group of consumers that the workers are, like any other service. */
export const PUSH_GROUP = "push";

/**
 * Forgets a group: nothing is kept for it any more. False where there is none. Throws a RefusalError where somebody reads
 * for it: its consumers would end, and whatever starts them again begins anew with all outcomes that are kept.
 */
export async function forgetGroup(redis: Redis, shards: Shards, group: string): Promise<boolean> {
  if (group === PUSH_GROUP) {
    throw new RefusalError(
      "group_of_workers",
      `"${group}" is the workers' own group, by which outcomes get to the destinations. The workers would make it anew, and push every outcome that is kept once more. To push nothing, pause or remove the destinations.`,
    );
  }
  for (const shard of shards.all) {
    const holder = await redis.get(groupLeaseKey(shard, group));
    if (holder === null) continue;
    throw new RefusalError(
      "group_in_use",
      `The consumer "${holder.split("/")[0]}" reads for the group "${group}". Stop all consumers of the group first; one that was killed is known to be gone after its leaseMs, 15 seconds unless it says otherwise.`,
    );
  }
  return (await Promise.all(shards.all.map((shard) => forgetIn(redis, shard, group)))).includes(true);
}

async function forgetIn(redis: Redis, shard: Shard, group: string): Promise<boolean> {
  const isThere = (await readGroups(redis, shard)).some((known) => known.group === group);
  if (isThere) await redis.xgroup("DESTROY", outcomeStreamKey(shard), group);
  await redis.del(
    groupLeaseKey(shard, group),
    groupMembersKey(shard, group),
    groupAttemptsKey(shard, group),
    groupDeadLettersKey(shard, group),
  );
  return isThere;
}
