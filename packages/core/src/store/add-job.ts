import type { Redis } from "../redis/connect.ts";
import { queuePrefix, type Shard } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** A job of BullMQ's that waits for nothing and comes in its turn. */
export interface NewJob {
  readonly id: string;
  readonly name: string;
  /** What it stands for. */
  readonly identity: string;
  /** As JSON. */
  readonly data: string;
  /** As JSON, in the words that BullMQ stores them in. */
  readonly options: string;
}

const addJobToQueue = defineScript({
  name: "add-job",
  keys: ["deduplication", "job", "wait", "active", "meta", "marker"],
  args: ["id", "name", "data", "opts", "timestamp", "identity", "remembered_ms"],
  reply: (raw) => (raw === 1 ? "new" : "seen"),
});

/**
 * Puts a job on a queue unless one of its identity was put there within `rememberedMs`. Leaves what BullMQ's own `add` would
 * leave; test/e2e/queue.adding.test.ts holds the two together.
 */
export async function addJob(
  redis: Redis,
  shard: Shard,
  queue: string,
  { id, name, identity, data, options }: NewJob,
  { now, rememberedMs }: { readonly now: number; readonly rememberedMs: number },
): Promise<"new" | "seen"> {
  const prefix = queuePrefix(shard, queue);
  return await addJobToQueue(
    redis,
    {
      deduplication: `${prefix}de:${identity}`,
      job: `${prefix}${id}`,
      wait: `${prefix}wait`,
      active: `${prefix}active`,
      meta: `${prefix}meta`,
      marker: `${prefix}marker`,
    },
    { id, name, data, opts: options, timestamp: now, identity, remembered_ms: rememberedMs },
  );
}
