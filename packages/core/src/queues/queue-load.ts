import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Shards } from "../redis/keys.ts";
import type { QueueContract } from "./contract.ts";

/** How much a queue holds, over all shards. */
export interface QueueLoad {
  readonly waiting: number;
  readonly delayed: number;
  readonly active: number;
  readonly failed: number;
  /** Since the oldest waiting job was added; undefined where none waits. */
  readonly oldestWaitingMs: number | undefined;
  /** Whether somebody has paused it. */
  readonly isPaused: boolean;
}

export interface QueueLoadReader {
  read(): Promise<QueueLoad>;
  close(): Promise<void>;
}

export function createQueueLoadReader(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly contract: QueueContract;
  readonly now: () => number;
}): QueueLoadReader {
  const { redis, shards, contract, now } = ports;
  const queues = shards.all.map((shard) => {
    const queue = new Queue(contract.name, { connection: redis, prefix: shard.tag });
    // What goes wrong is said by the call that it goes wrong in.
    queue.on("error", () => {});
    return queue;
  });
  return {
    async read() {
      const counts = await Promise.all(
        queues.map((queue) => queue.getJobCounts("waiting", "delayed", "active", "failed")),
      );
      const paused = await Promise.all(queues.map((queue) => queue.isPaused()));
      const oldest = await Promise.all(queues.map((queue) => queue.getJobs(["waiting"], 0, 0, true)));
      const sum = (state: string) => counts.reduce((total, count) => total + (count[state] ?? 0), 0);
      const added = oldest.flat().map((job) => job.timestamp);
      return {
        waiting: sum("waiting"),
        delayed: sum("delayed"),
        active: sum("active"),
        failed: sum("failed"),
        oldestWaitingMs: added.length === 0 ? undefined : now() - Math.min(...added),
        isPaused: paused.some(Boolean),
      };
    },
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}
