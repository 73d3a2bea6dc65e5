import { Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shard, Shards } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DataOf, QueueContract } from "./contract.ts";
import { jobOptions } from "./producer.ts";

/** Nobody's data: as in a list of failed jobs, it is what an error says. */
export interface JobFailure {
  readonly tries: number;
  readonly reason: string;
}

/** Jobs that are there or not: their ids follow from what they are for. */
export interface PendingJobs<Contract extends QueueContract> {
  /**
   * Adds a job unless one of its identity is waiting, delayed or running, or is kept as failed. How long that is, the
   * contract says, unless it is told here.
   */
  ensure(
    shard: Shard,
    data: DataOf<Contract>,
    delayMs: number,
    keepFailed?: QueueContract["keepFailed"],
  ): Promise<void>;
  /** Whether a job of that identity is waiting, delayed or running. */
  isPending(shard: Shard, data: DataOf<Contract>): Promise<boolean>;
  /** How many tries of the job of that identity have failed, and why the last did; undefined where none has, or it is gone. */
  lastFailure(shard: Shard, data: DataOf<Contract>): Promise<JobFailure | undefined>;
  /** Whether somebody has paused the shard's queue: its jobs wait until it goes on. */
  isPaused(shard: Shard): Promise<boolean>;
  close(): Promise<void>;
}

/** `redis` must be ready: a BullMQ queue made on a connection that is not stays broken. Jobs bear the queue's name. */
export function createPendingJobs<Contract extends QueueContract>(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly contract: Contract;
  readonly log: Logger;
}): PendingJobs<Contract> {
  const { contract, log } = ports;
  const queues = ports.shards.all.map((shard) => {
    const queue = new Queue(contract.name, { connection: ports.redis, prefix: shard.tag });
    queue.on("error", (err) => log.debug({ err, queue: contract.name }, "queue error"));
    return queue;
  });
  function queueOf(shard: Shard): Queue {
    const queue = queues[shard.index];
    if (queue === undefined) throw new RangeError(`there is no shard ${shard.index}`);
    return queue;
  }

  return {
    async ensure(shard, data, delayMs, keepFailed = contract.keepFailed) {
      await queueOf(shard).add(contract.name, data, {
        ...jobOptions(contract),
        jobId: jobId(contract.identity(data)),
        delay: delayMs,
        removeOnFail: keepFailed,
      });
    },
    async isPending(shard, data) {
      const state = await queueOf(shard).getJobState(jobId(contract.identity(data)));
      return !["unknown", "completed", "failed"].includes(state);
    },
    async lastFailure(shard, data) {
      const job = await queueOf(shard).getJob(jobId(contract.identity(data)));
      if (job === undefined || job.attemptsMade === 0) return undefined;
      return { tries: job.attemptsMade, reason: job.failedReason };
    },
    isPaused: (shard) => queueOf(shard).isPaused(),
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}

/** BullMQ keeps colons for itself. */
function jobId(identity: string): string {
  return identity.replaceAll(":", "_");
}
