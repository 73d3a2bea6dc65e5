import { type Job, type JobType, Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shards } from "../redis/keys.ts";
import type { DataOf, QueueContract } from "./contract.ts";

/** Jobs that a worker has done, or has given up: nothing happens to them any more. */
const FINISHED = ["completed", "failed"] as const satisfies readonly JobType[];
const UNFINISHED = ["waiting", "prioritized", "delayed", "active"] as const satisfies readonly JobType[];

export interface JobSearch<Contract extends QueueContract> {
  /** Removes the jobs that `shouldGo` names, in whatever state they are. A running job stays: look again later. */
  remove(
    shouldGo: (data: DataOf<Contract>, isFinished: boolean) => boolean,
  ): Promise<{ readonly removed: number; readonly running: number }>;
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

  return {
    async remove(shouldGo) {
      let removed = 0;
      let running = 0;
      for (const queue of queues) {
        for (const state of [...UNFINISHED, ...FINISHED]) {
          const isFinished = (FINISHED as readonly JobType[]).includes(state);
          for (const job of await jobsIn(queue, state)) {
            const data = contract.data.safeParse(job.data);
            if (!data.success || !shouldGo(data.data as DataOf<Contract>, isFinished)) continue;
            const isGone = await job.remove().then(
              () => true,
              () => false,
            );
            if (isGone) removed += 1;
            else running += 1;
          }
        }
      }
      return { removed, running };
    },
    async close() {
      await Promise.all(queues.map((queue) => queue.close()));
    },
  };
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
