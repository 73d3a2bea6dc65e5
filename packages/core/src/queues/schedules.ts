import { Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shard } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { QueueContract } from "./contract.ts";
import { maintenance } from "./contracts.ts";
import { jobOptions } from "./producer.ts";

/** Something to be done every so often, once in the fleet. */
export interface Schedule {
  readonly name: string;
  /** Undefined: not at all (any more). */
  readonly everyMs: number | undefined;
}

/** Lets all workers together run one job of a queue at a time. */
export async function keepOneAtATime(
  ports: { readonly redis: Redis; readonly shard: Shard; readonly log: Logger },
  { name }: QueueContract,
): Promise<void> {
  const queue = openQueue(ports, name);
  await queue.setGlobalConcurrency(1);
  await queue.close();
}

/** Writes the schedules down; however many workers do, there is one of each, with the interval of the last. */
export async function keepSchedules(
  ports: { readonly redis: Redis; readonly shard: Shard; readonly log: Logger },
  schedules: readonly Schedule[],
): Promise<void> {
  const queue = openQueue(ports, maintenance.name);
  for (const { name, everyMs } of schedules) {
    if (everyMs === undefined) await queue.removeJobScheduler(name);
    else await queue.upsertJobScheduler(name, { every: everyMs }, { name, data: {}, opts: jobOptions(maintenance) });
  }
  await queue.close();
}

/** Has a task done now, beside its schedule: once, however many ask for it before it is begun. */
export async function doNow(
  ports: { readonly redis: Redis; readonly shard: Shard; readonly log: Logger },
  name: string,
): Promise<void> {
  const queue = openQueue(ports, maintenance.name);
  // Gone when it has ended, so that it can be asked for again under the same id.
  const passing = { removeOnComplete: true, removeOnFail: true };
  await queue.add(name, {}, { ...jobOptions(maintenance), ...passing, jobId: `now-${name}` });
  await queue.close();
}

function openQueue(
  { redis, shard, log }: { readonly redis: Redis; readonly shard: Shard; readonly log: Logger },
  name: string,
): Queue {
  const queue = new Queue(name, { connection: redis, prefix: shard.tag });
  queue.on("error", (err) => log.debug({ err, queue: name }, "queue error"));
  return queue;
}
