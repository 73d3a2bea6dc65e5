import { Queue } from "bullmq";
import type { Redis } from "ioredis";
import type { Shard } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import { maintenance } from "./contracts.ts";
import { jobOptions } from "./producer.ts";

/** Something to be done every so often, once in the fleet. */
export interface Schedule {
  readonly name: string;
  /** Undefined: not at all (any more). */
  readonly everyMs: number | undefined;
}

/** Writes the schedules down; however many workers do, there is one of each, with the interval of the last. */
export async function keepSchedules(
  ports: { readonly redis: Redis; readonly shard: Shard; readonly log: Logger },
  schedules: readonly Schedule[],
): Promise<void> {
  const { redis, shard, log } = ports;
  const queue = new Queue(maintenance.name, { connection: redis, prefix: shard.tag });
  queue.on("error", (err) => log.debug({ err, queue: maintenance.name }, "queue error"));
  for (const { name, everyMs } of schedules) {
    if (everyMs === undefined) await queue.removeJobScheduler(name);
    else await queue.upsertJobScheduler(name, { every: everyMs }, { name, data: {}, opts: jobOptions(maintenance) });
  }
  await queue.close();
}
