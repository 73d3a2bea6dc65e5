import { type Job, type JobType, Queue } from "bullmq";
import type { z } from "zod";
import type { Redis } from "../redis/connect.ts";
import type { Shards } from "../redis/keys.ts";
import type { DataOf, QueueContract } from "./contract.ts";

const STATES = [
  "waiting",
  "prioritized",
  "delayed",
  "active",
  "completed",
  "failed",
] as const satisfies readonly JobType[];

export interface JobSearch<Contract extends QueueContract> {
  /**
   * Removes the jobs that `shouldGo` names, in whatever state they are; `isDone` says that nothing happens to one any more,
   * as it does to one that failed and is tried again. A running job stays: look again later.
   */
  remove(
    shouldGo: (data: DataOf<Contract>, isDone: boolean) => boolean,
  ): Promise<{ readonly removed: number; readonly running: number }>;
  /** Writes what `change` gives over what a failed job holds, where it gives something. Gives how many that were. */
  changeFailed(change: (data: DataOf<Contract>) => Partial<z.input<Contract["data"]>> | undefined): Promise<number>;
  close(): Promise<void>;
}

const PAGE = 500;

export function createJobSearch<Contract extends QueueContract>(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly contract: Contract;
}): JobSearch<Contract> {
  const { contract } = ports;
  const queues = ports.shards.all.map((shard) => {
    const queue = new Queue(contract.name, { connection: ports.redis, prefix: shard.tag });
    // What goes wrong is said by the call that it goes wrong in.
    queue.on("error", () => {});
    return queue;
  });

  function dataOf(job: Job): DataOf<Contract> | undefined {
    const data = contract.data.safeParse(job.data);
    return data.success ? (data.data as DataOf<Contract>) : undefined;
  }

  return {
    async remove(shouldGo) {
      let removed = 0;
      let running = 0;
      for (const queue of queues) {
        for (const state of STATES) {
          for (const job of await jobsIn(queue, state)) {
            const data = dataOf(job);
            if (data === undefined || !shouldGo(data, state === "completed")) continue;
            if (await succeeds(job.remove())) removed += 1;
            else running += 1;
          }
        }
      }
      return { removed, running };
    },
    async changeFailed(change) {
      let changed = 0;
      for (const queue of queues) {
        for (const job of await jobsIn(queue, "failed")) {
          const data = dataOf(job);
          const written = data === undefined ? undefined : change(data);
          if (written === undefined) continue;
          // What the contract does not know, a later release may.
          if (await succeeds(job.updateData({ ...job.data, ...written }))) changed += 1;
        }
      }
      return changed;
    },
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
}

/** A job may be running, or be gone, by the time that something is done to it. */
async function succeeds(step: Promise<unknown>): Promise<boolean> {
  return await step.then(
    () => true,
    () => false,
  );
}

/** All of them before any is removed, as removing moves the pages. */
async function jobsIn(queue: Queue, state: JobType): Promise<Job[]> {
  const jobs: Job[] = [];
  for (let page = await queue.getJobs([state], 0, PAGE - 1); page.length > 0; ) {
    jobs.push(...page.filter((job) => job !== undefined));
    page = await queue.getJobs([state], jobs.length, jobs.length + PAGE - 1);
  }
  return jobs;
}
