import { type Job, Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shard } from "../redis/keys.ts";
import { dropJobs } from "../store/ended-jobs.ts";
import type { Logger } from "../telemetry/logger.ts";
import { outcomeOfPushJob, type PushJob, pushesTo } from "./contracts.ts";
import { jobOptions } from "./producer.ts";

/** An outcome that a destination would not take. */
export interface PushDeadLetter {
  readonly job: string;
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: string | null;
}

export interface PushCounts {
  readonly waiting: number;
  readonly failed: number;
  readonly isPaused: boolean;
}

/** The queues of outcomes to destinations, one each. */
export interface PushQueues {
  /** The id of the job that pushes an outcome. */
  jobId(push: PushJob): string;
  /** Adds a push unless it is there. */
  add(push: PushJob): Promise<void>;
  counts(destinationId: string): Promise<PushCounts>;
  /** The newest first. */
  deadLetters(destinationId: string, limit: number): Promise<PushDeadLetter[]>;
  /** Lets a dead letter be tried again, with all its tries. */
  redeliver(destinationId: string, job: string): Promise<void>;
  /** Forgets a dead letter; false where it is none any more. */
  drop(destinationId: string, job: string): Promise<boolean>;
  isPending(destinationId: string, job: string): Promise<boolean>;
  /** Index of a shard → stream id of its oldest outcome that waits to be pushed to any of these. */
  oldestWaiting(destinationIds: readonly string[]): Promise<ReadonlyMap<number, string>>;
  /** Begins a job that waits for its time now. */
  hurry(destinationId: string, job: string): Promise<void>;
  /** Begins nothing for that time. */
  hold(destinationId: string, ms: number): Promise<void>;
  release(destinationId: string): Promise<void>;
  pause(destinationId: string): Promise<void>;
  resume(destinationId: string): Promise<void>;
  setConcurrency(destinationId: string, concurrency: number): Promise<void>;
  /** Forgets all jobs. */
  remove(destinationId: string): Promise<void>;
  close(): Promise<void>;
}

/** `redis` must be ready: a BullMQ queue made on a connection that is not stays broken. */
export function createPushQueues(ports: {
  readonly redis: Redis;
  readonly shard: Shard;
  readonly log: Logger;
}): PushQueues {
  const { redis, shard, log } = ports;
  const queues = new Map<string, Queue>();

  function queueOf(destinationId: string): Queue {
    const { name } = pushesTo(destinationId);
    const known = queues.get(name);
    if (known !== undefined) return known;
    const queue = new Queue(name, { connection: redis, prefix: shard.tag });
    queue.on("error", (err) => log.debug({ err, queue: name }, "queue error"));
    queues.set(name, queue);
    return queue;
  }

  const jobIdOf = (push: PushJob) => pushesTo(push.destinationId).identity(push);

  return {
    jobId: jobIdOf,
    async add(push) {
      const contract = pushesTo(push.destinationId);
      await queueOf(push.destinationId).add(push.type, push, { ...jobOptions(contract), jobId: jobIdOf(push) });
    },
    async counts(destinationId) {
      const queue = queueOf(destinationId);
      const [counts, isPaused] = await Promise.all([
        queue.getJobCounts("wait", "active", "delayed", "failed"),
        queue.isPaused(),
      ]);
      const { wait = 0, active = 0, delayed = 0, failed = 0 } = counts;
      return { waiting: wait + active + delayed, failed, isPaused };
    },
    async deadLetters(destinationId, limit) {
      const jobs = await queueOf(destinationId).getJobs(["failed"], 0, limit - 1);
      return jobs.filter((job) => job !== undefined).map(deadLetterOf);
    },
    async redeliver(destinationId, id) {
      const job = await queueOf(destinationId).getJob(id);
      await job?.retry("failed", { resetAttemptsMade: true });
    },
    async drop(destinationId, id) {
      return (await dropJobs(redis, shard, pushesTo(destinationId), "failed", [id])) > 0;
    },
    async isPending(destinationId, job) {
      const state = await queueOf(destinationId).getJobState(job);
      return !["unknown", "completed", "failed"].includes(state);
    },
    async oldestWaiting(destinationIds) {
      const oldest = new Map<number, string>();
      for (const destinationId of destinationIds) {
        // In no order: what has failed stands behind what came later. Ids alone, of which 100,000 are 3 MB.
        for (const id of await queueOf(destinationId).getRanges(["wait", "active", "delayed"], 0, -1)) {
          const { shard } = outcomeOfPushJob(id);
          const known = oldest.get(shard);
          if (known === undefined || id < known) oldest.set(shard, id);
        }
      }
      return new Map([...oldest].map(([shard, id]) => [shard, outcomeOfPushJob(id).streamId]));
    },
    async hurry(destinationId, id) {
      const job = await queueOf(destinationId).getJob(id);
      // It may have begun in the meantime.
      await job?.promote().catch(() => {});
    },
    hold: (destinationId, ms) => queueOf(destinationId).rateLimit(ms),
    async release(destinationId) {
      await queueOf(destinationId).removeRateLimitKey();
    },
    pause: (destinationId) => queueOf(destinationId).pause(),
    resume: (destinationId) => queueOf(destinationId).resume(),
    async setConcurrency(destinationId, concurrency) {
      await queueOf(destinationId).setGlobalConcurrency(concurrency);
    },
    async remove(destinationId) {
      const queue = queueOf(destinationId);
      await queue.pause();
      await queue.obliterate({ force: true });
    },
    async close() {
      await Promise.all([...queues.values()].map((queue) => queue.close()));
    },
  };
}

function deadLetterOf(job: Job): PushDeadLetter {
  const { id, type, subject } = job.data as PushJob;
  const failedAt = job.finishedOn === undefined ? null : new Date(job.finishedOn).toISOString();
  return { job: job.id ?? "", id, type, subject, reason: job.failedReason, attempts: job.attemptsMade, failedAt };
}
