import { randomUUID } from "node:crypto";
import { type JobsOptions, Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import { RedisUnavailableError, withinDeadline } from "../redis/deadline.ts";
import type { Shard, Shards } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DataOf, QueueContract } from "./contract.ts";

export interface Producer<Contract extends QueueContract> {
  /**
   * Adds a job unless one of its identity was added within the deduplication time: one atomic step. Resolves when Redis
   * has accepted it; rejects with a RedisUnavailableError when it has not within the deadline.
   */
  enqueue(shard: Shard, jobName: string, data: DataOf<Contract>): Promise<"new" | "seen">;
  close(): Promise<void>;
}

/** `redis` must be ready: a BullMQ queue made on a connection that is not stays broken. */
export function createProducer<Contract extends QueueContract>(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly contract: Contract;
  readonly deduplicationMs: number;
  readonly deadlineMs: number;
  readonly log: Logger;
}): Producer<Contract> {
  const { redis, contract, deduplicationMs, deadlineMs, log } = ports;
  const queues = ports.shards.all.map((shard) => {
    const queue = new Queue(contract.name, { connection: redis, prefix: shard.tag });
    queue.on("error", (err) => log.debug({ err, queue: contract.name }, "queue error"));
    return queue;
  });
  const options = jobOptions(contract);

  return {
    async enqueue(shard, jobName, data) {
      const queue = queues[shard.index];
      if (queue === undefined) throw new RangeError(`there is no shard ${shard.index}`);
      if (redis.status !== "ready") throw new RedisUnavailableError(`the connection to Redis is ${redis.status}`);
      // A repeat gets the first job's id back instead of its own.
      const jobId = randomUUID();
      const deduplication = { id: contract.identity(data), ttl: deduplicationMs };
      const job = await withinDeadline(deadlineMs, queue.add(jobName, data, { ...options, jobId, deduplication }));
      return job.id === jobId ? "new" : "seen";
    },
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}

/** What a contract says about its jobs, in BullMQ's words. The back-off is the consumer's, see retry-delay.ts. */
export function jobOptions(contract: QueueContract): JobsOptions {
  return {
    attempts: contract.attempts,
    backoff: { type: "custom" },
    removeOnComplete: contract.keepCompleted,
    removeOnFail: contract.keepFailed,
  };
}
