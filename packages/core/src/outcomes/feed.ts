import type { Redis } from "../redis/connect.ts";
import { outcomeStreamKey, type Shards } from "../redis/keys.ts";
import { compareStreamIds, type Position } from "./cursor.ts";
import { newestOf } from "./read-stream.ts";

/** Says when there is something to read; one connection a shard for however many wait. */
export interface OutcomeFeed {
  /** Resolves when there are outcomes after a position, at the latest after `timeoutMs`, and when `signal` aborts. */
  untilAfter(position: Position, timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

const BLOCK_MS = 2_000;
const REDIS_PAUSE_MS = 500;

/** `connect` makes a connection for each shard: shards may lie on different nodes, and each is waited for. */
export function createOutcomeFeed(connect: () => Redis, shards: Shards): OutcomeFeed {
  const waiting = new Set<() => void>();
  const newest: string[] = shards.all.map(() => "0-0");
  let isClosed = false;
  const watches = shards.all.map((shard) => ({ shard, blocking: connect(), isWatching: false }));

  async function watch(one: (typeof watches)[number]): Promise<void> {
    const { shard, blocking } = one;
    one.isWatching = true;
    while (!isClosed && waiting.size > 0) {
      try {
        const last = await newestOf(blocking, shard);
        newest[shard.index] = last;
        for (const resolveIfNews of waiting) resolveIfNews();
        if (waiting.size === 0) break;
        await blocking.xread("COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", outcomeStreamKey(shard), last);
      } catch {
        // Whoever waits is told after its own time.
        if (!isClosed) await new Promise((resolve) => setTimeout(resolve, REDIS_PAUSE_MS));
      }
    }
    one.isWatching = false;
  }

  return {
    async untilAfter(position, timeoutMs, signal) {
      if (signal.aborted || isClosed) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const isBehind = () => newest.some((id, index) => compareStreamIds(position[index] ?? "0-0", id) < 0);
      const resolveIfNews = () => {
        if (isBehind()) resolve();
      };
      const done = () => resolve();
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener("abort", done, { once: true });
      waiting.add(resolveIfNews);
      resolveIfNews();
      for (const one of watches) if (!one.isWatching) void watch(one);
      await promise;
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      waiting.delete(resolveIfNews);
    },
    close() {
      isClosed = true;
      for (const { blocking } of watches) blocking.disconnect();
    },
  };
}
