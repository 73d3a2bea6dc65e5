import { Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shards } from "../redis/keys.ts";
import { dropJobs } from "../store/ended-jobs.ts";
import { allQueues, QUEUES_OF_A_SHARD, QUEUES_OF_THE_FIRST } from "./contracts.ts";

/** A job that was given up. What it holds is not told: that may be somebody's data. */
export interface FailedJob {
  readonly queue: string;
  readonly shard: number;
  readonly id: string;
  /** What happened, or what was to be done. */
  readonly name: string;
  /** Of the fact, where it has one. */
  readonly identity: string | null;
  readonly reason: string;
  readonly attempts: number;
  /** ISO 8601; null where it is not known. */
  readonly failedAt: string | null;
}

export interface JobTimes {
  readonly addedAt: number;
  readonly begunAt: number | undefined;
}

export interface QueueCounts {
  readonly queue: string;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly isPaused: boolean;
}

/** What a person can see of the queues, and do to them. */
export interface QueueOperations {
  counts(): Promise<QueueCounts[]>;
  failed(): Promise<FailedJob[]>;
  /** When the job of an identity was added and begun, in ms; undefined where it is not remembered any more. */
  timesOf(queue: string, identity: string): Promise<JobTimes | undefined>;
  /** Lets failed jobs be tried again, with all their tries: those that `isWanted`. Gives how many. */
  retry(isWanted: (job: FailedJob) => boolean): Promise<number>;
  /** Drops failed jobs: those that `isWanted`. Gives how many. */
  drop(isWanted: (job: FailedJob) => boolean): Promise<number>;
  /** Stops the taking up of deliveries, or of another queue's jobs. What comes is kept meanwhile. */
  pause(queue: string): Promise<void>;
  resume(queue: string): Promise<void>;
  close(): Promise<void>;
}

export const QUEUE_NAMES = [...QUEUES_OF_A_SHARD, ...QUEUES_OF_THE_FIRST].map(({ name }) => name);

export function createQueueOperations({
  redis,
  shards,
}: {
  readonly redis: Redis;
  readonly shards: Shards;
}): QueueOperations {
  const queues = allQueues(shards).map(({ contract: { name }, shard }) => {
    const queue = new Queue(name, { connection: redis, prefix: shard.tag });
    // What goes wrong is said by the call that it goes wrong in.
    queue.on("error", () => {});
    return { name, shard, queue };
  });

  async function failedJobs() {
    const found = [];
    for (const { name, shard, queue } of queues) {
      for (const job of await queue.getJobs(["failed"])) {
        // Dropped since its id was read.
        if (job === undefined) continue;
        const { identity } = job.data as { identity?: unknown };
        const shown: FailedJob = {
          queue: name,
          shard: shard.index,
          id: job.id ?? "",
          name: job.name,
          identity: typeof identity === "string" ? identity : null,
          reason: job.failedReason,
          attempts: job.attemptsMade,
          failedAt: job.finishedOn === undefined ? null : new Date(job.finishedOn).toISOString(),
        };
        found.push({ job, shard, shown });
      }
    }
    return found;
  }

  async function forEachOf(name: string, act: (queue: Queue) => Promise<void>): Promise<void> {
    for (const { queue } of queues.filter((one) => one.name === name)) await act(queue);
  }

  return {
    async counts() {
      const all = await Promise.all(
        queues.map(async ({ name, queue }) => {
          const {
            waiting = 0,
            active = 0,
            delayed = 0,
            failed = 0,
          } = await queue.getJobCounts("waiting", "active", "delayed", "failed");
          return { queue: name, waiting, active, delayed, failed, isPaused: await queue.isPaused() };
        }),
      );
      return QUEUE_NAMES.map((name) => all.filter(({ queue }) => queue === name).reduce(sum));
    },
    async failed() {
      return (await failedJobs()).map(({ shown }) => shown);
    },
    async timesOf(name, identity) {
      for (const { queue } of queues.filter((one) => one.name === name)) {
        for (const job of await queue.getJobs(["completed", "active", "waiting", "delayed"])) {
          if (job.data?.identity === identity) return { addedAt: job.timestamp, begunAt: job.processedOn };
        }
      }
      return undefined;
    },
    async retry(isWanted) {
      const wanted = (await failedJobs()).filter(({ shown }) => isWanted(shown));
      for (const { job } of wanted) await job.retry("failed", { resetAttemptsMade: true });
      return wanted.length;
    },
    async drop(isWanted) {
      let dropped = 0;
      for (const { shard, shown } of await failedJobs()) {
        if (isWanted(shown)) dropped += await dropJobs(redis, shard, { name: shown.queue }, "failed", [shown.id]);
      }
      return dropped;
    },
    pause: (name) => forEachOf(name, (queue) => queue.pause()),
    resume: (name) => forEachOf(name, (queue) => queue.resume()),
    async close() {
      await Promise.all(queues.map(({ queue }) => queue.close()));
    },
  };
}

function sum(a: QueueCounts, b: QueueCounts): QueueCounts {
  return {
    queue: a.queue,
    waiting: a.waiting + b.waiting,
    active: a.active + b.active,
    delayed: a.delayed + b.delayed,
    failed: a.failed + b.failed,
    isPaused: a.isPaused || b.isPaused,
  };
}
