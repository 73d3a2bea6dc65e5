import { once } from "node:events";
import { type Position, toCursor } from "@calendly-worker/core/outcomes/cursor";
import type { OutcomeFeed } from "@calendly-worker/core/outcomes/feed";
import { matches, type OutcomeFilter } from "@calendly-worker/core/outcomes/outcome-filter";
import { readAfter } from "@calendly-worker/core/outcomes/read-stream";
import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Response } from "express";

/** Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) to one client. */
export interface StreamPorts {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly feed: OutcomeFeed;
  /** Aborts when the worker stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

const PAGE = 100;
const HEARTBEAT_MS = 15_000;
/** A client that takes nothing for so long is cut off: nothing is read for it meanwhile, and it can come back. */
const STALL_MS = 30_000;
/** What the client waits before it comes back. */
const RETRY_MS = 2_000;

/** Sends what comes after a position, until the client is gone, too slow, or the worker stops. */
export async function streamOutcomes(
  ports: StreamPorts,
  res: Response,
  from: Position,
  filters: readonly OutcomeFilter[],
): Promise<void> {
  const { redis, shards, feed, log } = ports;
  const gone = new AbortController();
  res.once("close", () => gone.abort());
  const signal = AbortSignal.any([gone.signal, ports.signal]);

  async function send(text: string): Promise<void> {
    if (res.write(text)) return;
    const stall = AbortSignal.timeout(STALL_MS);
    try {
      await once(res, "drain", { signal: AbortSignal.any([signal, stall]) });
    } catch (error) {
      if (stall.aborted)
        log.info({ stallMs: STALL_MS, bufferedBytes: res.writableLength }, "cut off a client that takes nothing");
      throw error;
    }
  }

  res.status(200).set({ "Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no" });
  res.flushHeaders();
  let position = from;
  let saidAt = 0;
  /** Where the client is, also when nothing comes that it wants: cut off now, it goes on from here, and misses nothing. */
  async function sayCursor(): Promise<void> {
    await send(`id: ${toCursor(position)}\nevent: cursor\ndata: {}\n\n`);
    saidAt = performance.now();
  }
  try {
    await send(`retry: ${RETRY_MS}\n`);
    await sayCursor();
    while (!signal.aborted) {
      const page = await readAfter(redis, shards, position, PAGE);
      for (const { event, position: after } of page) {
        position = after;
        if (!filters.every((filter) => matches(event, filter))) continue;
        await send(`id: ${toCursor(position)}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      }
      if (page.length > 0) continue;
      await feed.untilAfter(position, HEARTBEAT_MS, signal);
      if (performance.now() - saidAt >= HEARTBEAT_MS) await sayCursor();
    }
  } catch {
    // Gone, too slow, or Redis is away: the client comes back with the last cursor that it got.
  }
  res.end();
  if (!ports.signal.aborted) res.destroy();
}
