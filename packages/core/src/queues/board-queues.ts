import { type FinishedStatus, Job, type JobProgress, Queue } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import type { Shard, Shards } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import { allQueues, pushesTo } from "./contracts.ts";

export interface BoardQueue {
  readonly queue: Queue;
  /** Begins its name where several shards have one of that name. */
  readonly prefix: string;
}

/** The queues that a dashboard shows: those of all shards, and those of destinations as they come and go. */
export interface BoardQueues {
  open(destinationIds: readonly string[]): readonly BoardQueue[];
  close(): Promise<void>;
}

/** Has all its tries again when the dashboard lets it be tried again; BullMQ would leave it a single one. */
class JobOfBoard<D, R, N extends string, P extends JobProgress> extends Job<D, R, N, P> {
  override async retry(state?: FinishedStatus): Promise<void> {
    await super.retry(state, { resetAttemptsMade: true });
  }
}

class QueueOfBoard extends Queue {
  protected override get Job(): typeof Job {
    return JobOfBoard;
  }
}

/** `redis` must be ready: a BullMQ queue made on a connection that is not stays broken. */
export function openBoardQueues(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly log: Logger;
}): BoardQueues {
  const { redis, shards, log } = ports;
  const opened = new Map<string, BoardQueue>();

  function openOne(name: string, shard: Shard, prefix: string): BoardQueue {
    const key = `${prefix}${name}`;
    const known = opened.get(key);
    if (known !== undefined) return known;
    const queue = new QueueOfBoard(name, { connection: redis, prefix: shard.tag });
    queue.on("error", (err) => log.debug({ err, queue: name }, "queue error"));
    const made = { queue, prefix };
    opened.set(key, made);
    return made;
  }

  const prefixOf = (shard: Shard) => (shards.all.length === 1 ? "" : `${shard.index}.`);

  return {
    open: (destinationIds) => [
      ...allQueues(shards).map(({ contract, shard }) => openOne(contract.name, shard, prefixOf(shard))),
      ...destinationIds.map((id) => openOne(pushesTo(id).name, shards.first, "")),
    ],
    async close() {
      await Promise.all([...opened.values()].map(({ queue }) => queue.close()));
    },
  };
}
