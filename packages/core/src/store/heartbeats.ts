import type { Redis } from "../redis/connect.ts";
import { deafWorkersKey, heartbeatsKey, queuePrefix, type Shard } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** When heartbeats last went through the queues, and how many workers had to be replaced. */
export interface HeartbeatStore {
  /** One went through a queue at that time, ms. It does not count against the queue's rate limit. */
  note(queue: string, shard: Shard, at: number): Promise<void>;
  /** By queue, in ms; of the shard where that is longest ago. */
  last(): Promise<ReadonlyMap<string, number>>;
  noteDeafWorker(): Promise<void>;
  deafWorkers(): Promise<number>;
}

const uncountJob = defineScript({ name: "uncount-job", keys: ["limiter"], args: [], reply: () => undefined });

export function createHeartbeatStore(redis: Redis): HeartbeatStore {
  return {
    async note(queue, shard, at) {
      await uncountJob(redis, { limiter: `${queuePrefix(shard, queue)}limiter` }, {});
      await redis.hset(heartbeatsKey, `${queue}/${shard.index}`, String(at));
    },
    async last() {
      const oldest = new Map<string, number>();
      for (const [name, at] of Object.entries(await redis.hgetall(heartbeatsKey))) {
        const queue = name.slice(0, name.lastIndexOf("/"));
        oldest.set(queue, Math.min(oldest.get(queue) ?? Number.POSITIVE_INFINITY, Number(at)));
      }
      return oldest;
    },
    async noteDeafWorker() {
      await redis.incr(deafWorkersKey);
    },
    async deafWorkers() {
      return Number((await redis.get(deafWorkersKey)) ?? 0);
    },
  };
}
