import { Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shard } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { QueueContract } from "./contract.ts";

/** The name of a job that does nothing but show that the queue is worked on. It is taken before all that wait. */
export const HEARTBEAT = "heartbeat";

/** Puts heartbeats into queues. */
export interface Heartbeats {
  /** One in each queue that is not paused, unless one waits there still or another worker has just put one there. */
  beat(): Promise<void>;
  close(): Promise<void>;
}

/** `redis` must be ready: a BullMQ queue made on a connection that is not stays broken. */
export function createHeartbeats(ports: {
  readonly redis: Redis;
  readonly queues: readonly { readonly contract: QueueContract; readonly shard: Shard }[];
  /** As often it is called by each worker. */
  readonly everyMs: number;
  readonly log: Logger;
}): Heartbeats {
  const { redis, everyMs, log } = ports;
  const queues = ports.queues.map(({ contract: { name }, shard }) => {
    const queue = new Queue(name, { connection: redis, prefix: shard.tag });
    queue.on("error", (err) => log.debug({ err, queue: name }, "queue error"));
    return queue;
  });
  return {
    async beat() {
      const deduplication = { id: HEARTBEAT, ttl: Math.floor(everyMs * 0.9) };
      const options = { jobId: HEARTBEAT, deduplication, lifo: true, removeOnComplete: true, removeOnFail: true };
      await Promise.all(
        queues.map(async (queue) => {
          // There it would wait, and count among what waits, for as long as somebody wants nothing to be done.
          if (!(await queue.isPaused())) await queue.add(HEARTBEAT, {}, options);
        }),
      );
    },
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}
