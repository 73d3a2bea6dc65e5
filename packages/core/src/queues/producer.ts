import { randomUUID } from "node:crypto";
import type { JobsOptions } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import { RedisUnavailableError, withinDeadline } from "../redis/deadline.ts";
import type { Shard } from "../redis/keys.ts";
import { addJob } from "../store/add-job.ts";
import type { TraceOfJob } from "../telemetry/trace.ts";
import type { DataOf, QueueContract } from "./contract.ts";

export interface Producer<Contract extends QueueContract> {
  /**
   * Adds a job unless one of its identity was added within the deduplication time: one atomic step. Resolves when Redis
   * has accepted it; rejects with a RedisUnavailableError when it has not within the deadline.
   */
  enqueue(shard: Shard, jobName: string, data: DataOf<Contract>): Promise<"new" | "seen">;
}

export function createProducer<Contract extends QueueContract>(ports: {
  readonly redis: Redis;
  readonly contract: Contract;
  readonly deduplicationMs: number;
  readonly deadlineMs: number;
  readonly traceOfJob?: TraceOfJob;
}): Producer<Contract> {
  const { redis, contract, deduplicationMs, deadlineMs, traceOfJob = () => undefined } = ports;
  const options = jobOptions(contract);
  const untraced = JSON.stringify(options);

  /** As BullMQ stores them: under their names, but for those that it has a short word for. */
  function storedOptions(): string {
    const trace = traceOfJob();
    return trace === undefined ? untraced : JSON.stringify({ ...options, tm: trace, omc: true });
  }

  return {
    async enqueue(shard, name, data) {
      if (redis.status !== "ready") throw new RedisUnavailableError(`the connection to Redis is ${redis.status}`);
      const job = {
        id: randomUUID(),
        name,
        identity: contract.identity(data),
        data: JSON.stringify(data),
        options: storedOptions(),
      };
      const remembered = { now: Date.now(), rememberedMs: deduplicationMs };
      const added = addJob(redis, shard, contract.name, job, remembered);
      return await withinDeadline(deadlineMs, added);
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
