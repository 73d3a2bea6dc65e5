import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shard } from "@calendly-worker/core/redis/keys";

/**
 * Jobs of a queue that are not over. Counted in one step: one whose worker went silent moves back from running to waiting,
 * and would be missed between two looks.
 */
export async function jobCount(redis: Redis, { tag }: Shard, queue: string): Promise<number> {
  const key = (state: string) => `${tag}:${queue}:${state}`;
  const replies = await redis.multi().llen(key("wait")).llen(key("active")).zcard(key("delayed")).exec();
  return (replies ?? []).reduce((sum, [, count]) => sum + Number(count), 0);
}
