import type { QueueContract } from "../queues/contract.ts";
import { allQueues } from "../queues/contracts.ts";
import type { Redis } from "../redis/connect.ts";
import { queuePrefix, type Shard, type Shards } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** How much a queue holds. */
export interface QueueLoad {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  /** Given up, and kept for a person to look at. */
  readonly failed: number;
  /** Whether somebody has paused it. */
  readonly isPaused: boolean;
  /** Whether no job may be begun now: it is paused, held by its rate limit, or as many run as may in the fleet. */
  readonly isHeld: boolean;
  /** Since the oldest job that has not ended was added, those that are delayed included; undefined where there is none. */
  readonly oldestJobMs: number | undefined;
}

const readQueue = defineScript({
  name: "read-queue",
  keys: ["wait", "active", "delayed", "failed", "meta", "limiter"],
  args: ["job_prefix", "most", "examined"],
  reply: (raw) => raw as [number, number, number, number, number, number, number],
});

const EXAMINED = 500;

/** One round trip, whatever the queue holds. `perMinute` is the rate limit that its workers have. */
export async function readQueueLoad(
  redis: Redis,
  shard: Shard,
  { name }: Pick<QueueContract, "name">,
  { now, perMinute = 0 }: { readonly now: number; readonly perMinute?: number },
): Promise<QueueLoad> {
  const prefix = queuePrefix(shard, name);
  const key = (part: string) => `${prefix}${part}`;
  const [waiting, active, delayed, failed, paused, held, oldest] = await readQueue(
    redis,
    {
      wait: key("wait"),
      active: key("active"),
      delayed: key("delayed"),
      failed: key("failed"),
      meta: key("meta"),
      limiter: key("limiter"),
    },
    { job_prefix: prefix, most: perMinute, examined: EXAMINED },
  );
  return {
    waiting,
    active,
    delayed,
    failed,
    isPaused: paused === 1,
    isHeld: held === 1,
    oldestJobMs: oldest === 0 ? undefined : Math.max(now - oldest, 0),
  };
}

/** That of a queue over its shards. */
export function sumOfLoads(loads: readonly QueueLoad[]): QueueLoad {
  const sum = (of: (load: QueueLoad) => number) => loads.reduce((total, load) => total + of(load), 0);
  const ages = loads.flatMap(({ oldestJobMs }) => (oldestJobMs === undefined ? [] : [oldestJobMs]));
  return {
    waiting: sum(({ waiting }) => waiting),
    active: sum(({ active }) => active),
    delayed: sum(({ delayed }) => delayed),
    failed: sum(({ failed }) => failed),
    isPaused: loads.some(({ isPaused }) => isPaused),
    isHeld: loads.some(({ isHeld }) => isHeld),
    oldestJobMs: ages.length === 0 ? undefined : Math.max(...ages),
  };
}

/** Of every queue but those of destinations, each over its shards. */
export async function readAllLoads(
  redis: Redis,
  shards: Shards,
  now: number,
): Promise<(QueueLoad & { readonly name: string })[]> {
  const queues = Map.groupBy(allQueues(shards), ({ contract }) => contract.name);
  return await Promise.all(
    [...queues].map(async ([name, all]) => {
      const loads = all.map(({ contract, shard }) => readQueueLoad(redis, shard, contract, { now }));
      return { name, ...sumOfLoads(await Promise.all(loads)) };
    }),
  );
}
