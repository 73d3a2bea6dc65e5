import type { QueueContract } from "../queues/contract.ts";
import type { Redis } from "../redis/connect.ts";
import { queuePrefix, type Shard } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** How a job has ended: nothing happens to it any more. */
export type Ending = "completed" | "failed";

/** Redis does nothing else while so many are dropped. */
const PORTION = 500;

const drop = defineScript({
  name: "drop-jobs",
  keys: ["ended"],
  args: ["job_prefix"],
  reply: (raw) => raw as number,
});

/** Drops those of the jobs that have ended so, and gives how many. One that is tried again meanwhile stays. */
export async function dropJobs(
  redis: Redis,
  shard: Shard,
  { name }: Pick<QueueContract, "name">,
  ending: Ending,
  ids: readonly string[],
): Promise<number> {
  const prefix = queuePrefix(shard, name);
  let dropped = 0;
  for (let from = 0; from < ids.length; from += PORTION) {
    const portion = ids.slice(from, from + PORTION);
    dropped += await drop(redis, { ended: `${prefix}${ending}` }, { job_prefix: prefix }, portion);
  }
  return dropped;
}

/** Drops the jobs that ended so by `until`, in ms, the oldest first, and gives how many. */
export async function dropJobsEndedBy(
  redis: Redis,
  shard: Shard,
  queue: Pick<QueueContract, "name">,
  ending: Ending,
  { until, signal }: { readonly until: number; readonly signal: AbortSignal },
): Promise<number> {
  // BullMQ's set of them is sorted by when they ended.
  const ended = `${queuePrefix(shard, queue.name)}${ending}`;
  let dropped = 0;
  for (;;) {
    signal.throwIfAborted();
    const ids = await redis.zrangebyscore(ended, "-inf", until, "LIMIT", 0, PORTION);
    if (ids.length === 0) return dropped;
    dropped += await dropJobs(redis, shard, queue, ending, ids);
  }
}
