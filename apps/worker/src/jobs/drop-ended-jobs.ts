import { allQueues, keepFailedAtMost, pushesTo } from "@calendly-worker/core/queues/contracts";
import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { DestinationStore } from "@calendly-worker/core/store/destinations";
import { dropJobsEndedBy } from "@calendly-worker/core/store/ended-jobs";
import type { Task } from "./maintain.ts";

/**
 * Drops the jobs that ended longer ago than their contracts keep them. BullMQ does so by itself only when another job of
 * the queue ends in the same way: what failed last would be kept for as long as nothing else fails.
 */
export function dropEndedJobs(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly destinations: Pick<DestinationStore, "all">;
  readonly now: () => number;
}): Task {
  const { redis, shards, destinations, now } = ports;
  return async ({ signal }) => {
    const pushes = (await destinations.all()).map(({ id }) => ({ contract: pushesTo(id), shard: shards.first }));
    const by = (ageSeconds: number) => ({ until: now() - ageSeconds * 1_000, signal });
    let dropped = 0;
    for (const { contract, shard } of [...allQueues(shards), ...pushes]) {
      dropped += await dropJobsEndedBy(redis, shard, contract, "failed", by(keepFailedAtMost(contract)));
      dropped += await dropJobsEndedBy(redis, shard, contract, "completed", by(contract.keepCompleted.age));
    }
    return `dropped ${dropped} jobs`;
  };
}
