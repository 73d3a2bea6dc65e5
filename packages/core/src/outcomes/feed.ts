import type { Redis } from "ioredis";
import { outcomeStreamKey, type Shards } from "../redis/keys.ts";
import { compareStreamIds, type Position } from "./cursor.ts";
import { newestOf } from "./read-stream.ts";

/** Says when there is something to read; one connection for however many wait. */
export interface OutcomeFeed {
  /** Resolves when there are outcomes after a position, at the latest after `timeoutMs`, and when `signal` aborts. */
  untilAfter(position: Position, timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

const BLOCK_MS = 2_000;
const REDIS_PAUSE_MS = 500;

/** `blocking`: a connection of its own. */
export function createOutcomeFeed(blocking: Redis, shards: Shards): OutcomeFeed {
  const waiting = new Set<() => void>();
  let newest: Position = [];
  let isClosed = false;
  let isWatching = false;

  async function look(): Promise<void> {
    newest = await Promise.all(shards.all.map((shard) => newestOf(blocking, shard)));
    for (const resolveIfNews of waiting) resolveIfNews();
  }

  async function watch(): Promise<void> {
    isWatching = true;
    while (!isClosed && waiting.size > 0) {
      try {
        await look();
        if (waiting.size === 0) break;
        const keys = shards.all.map(outcomeStreamKey);
        await blocking.xread("COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", ...keys, ...newest);
      } catch {
        // Whoever waits is told after its own time.
        if (!isClosed) await new Promise((resolve) => setTimeout(resolve, REDIS_PAUSE_MS));
      }
    }
    isWatching = false;
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
      if (!isWatching) void watch();
      await promise;
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      waiting.delete(resolveIfNews);
    },
    close() {
      isClosed = true;
      blocking.disconnect();
    },
  };
}
