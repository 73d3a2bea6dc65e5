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
  const queues = ports.shards.all.map((shard) => open(shard));
  const options = jobOptions(contract);

  /** BullMQ begins a queue by asking Redis something. Where Redis goes away meanwhile, that queue fails for good. */
  function open(shard: Shard): { readonly queue: Queue; hasFailed: boolean } {
    const opened = { queue: new Queue(contract.name, { connection: redis, prefix: shard.tag }), hasFailed: false };
    opened.queue.on("error", (err) => log.debug({ err, queue: contract.name }, "queue error"));
    opened.queue.waitUntilReady().catch(() => {
      opened.hasFailed = true;
    });
    return opened;
  }

  function queueOf(shard: Shard): Queue {
    const opened = queues[shard.index];
    if (opened === undefined) throw new RangeError(`there is no shard ${shard.index}`);
    if (!opened.hasFailed) return opened.queue;
    const again = open(shard);
    queues[shard.index] = again;
    return again.queue;
  }

  return {
    async enqueue(shard, jobName, data) {
      const queue = queueOf(shard);
      if (redis.status !== "ready") throw new RedisUnavailableError(`the connection to Redis is ${redis.status}`);
      // A repeat gets the first job's id back instead of its own.
      const jobId = randomUUID();
      const deduplication = { id: contract.identity(data), ttl: deduplicationMs };
      const job = await withinDeadline(deadlineMs, queue.add(jobName, data, { ...options, jobId, deduplication }));
      return job.id === jobId ? "new" : "seen";
    },
    async close() {
      await Promise.all(queues.map(({ queue }) => queue.close()));
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
