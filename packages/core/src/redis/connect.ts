import type { Redis as Single } from "ioredis";
import type { Logger } from "../telemetry/logger.ts";
import { gatherWrites } from "./gather-writes.ts";
import { isCluster, type Redis } from "./nodes.ts";
import { openRedis } from "./open.ts";

export type { Redis } from "./nodes.ts";

/** A producer answers somebody who waits: its commands fail at once while Redis is away. */
export function connectProducer(url: string, log: Logger): Redis {
  return observed(
    openRedis(url, {
      socketTimeout: 10_000,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
    }),
    log,
  );
}

/**
 * A worker has time: its commands wait until Redis is back. BullMQ demands `maxRetriesPerRequest: null`, and makes a second
 * connection like this one to block on, for ten seconds at most.
 */
export function connectWorker(url: string, log: Logger): Redis {
  return observed(openRedis(url, { socketTimeout: 20_000, maxRetriesPerRequest: null }), log);
}

/** Redis was not there in time; the message says why the last attempt failed. */
export class UnreachableError extends Error {
  override readonly name = "UnreachableError";
}

/** Resolves when commands can be sent; rejects with an UnreachableError after `deadlineMs`. */
export async function reach(redis: Redis, deadlineMs: number): Promise<void> {
  let last: unknown;
  const failed = (error: unknown) => {
    last = error;
  };
  redis.on("error", failed);
  try {
    await untilReady(redis, AbortSignal.timeout(deadlineMs));
  } catch {
    const why = last === undefined ? "there was no answer" : whyOf(withReason(last));
    throw new UnreachableError(
      `Redis could not be reached within ${deadlineMs / 1_000} s (${why}). REDIS_URL says where.`,
    );
  } finally {
    redis.off("error", failed);
  }
}

/** Resolves when commands can be sent, however long that takes; rejects when `signal` aborts first. */
export async function untilReady(redis: Redis, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (redis.status === "ready") return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const aborted = () => reject(signal.reason);
  // Not events.once: that gives up at the first "error", which only says that this attempt to connect has failed.
  redis.once("ready", resolve);
  signal.addEventListener("abort", aborted, { once: true });
  await promise.finally(() => {
    redis.off("ready", resolve);
    signal.removeEventListener("abort", aborted);
  });
}

/**
 * Gives a connection up that answers nothing, and makes another. One that is being made is left alone: ioredis, disturbed
 * while it asks a Sentinel or looks up a name, would end it for good.
 */
export function reconnect(redis: Redis): void {
  if (redis.status === "ready") redis.disconnect(true);
}

export function disconnect(redis: Redis): void {
  redis.disconnect();
}

/** Whether an error says no more than that Redis is away. */
export function isConnectionError(error: Error): boolean {
  const code = "code" in error ? String(error.code) : "";
  return (
    /^E[A-Z_]+$/.test(code) ||
    /connection is closed|stream isn't writeable|cluster isn't ready|sentinels are unreachable|slots cache|startup nodes|cluster redirections|max retries per request|^CLUSTERDOWN/i.test(
      error.message,
    )
  );
}

/** A cluster's error says only that no node will do; ioredis keeps what the last of them said beside it. */
function withReason(error: unknown): unknown {
  if (!(error instanceof Error && "lastNodeError" in error)) return error;
  return new Error(error.message, { cause: error.lastNodeError });
}

/** In one line: what it says, and what is behind it. */
function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : error.name;
  const cause = error.cause === undefined ? [] : [whyOf(error.cause)];
  return [error.message || code, ...cause].join(" ");
}

/** Says once that Redis went away and once that it is back, not at every attempt in between. */
function observed(redis: Redis, log: Logger): Redis {
  let state: "unknown" | "up" | "down" = "unknown";
  const down = (err?: unknown) => {
    if (state === "down") return;
    state = "down";
    log.warn({ err: withReason(err) }, "redis is not reachable, trying again");
  };
  redis.on("error", down);
  redis.on("close", () => {
    // Closed by hand, it is at its end already.
    if (state === "up" && redis.status !== "end") down();
  });
  redis.on("end", () => {
    state = "unknown";
  });
  redis.on("ready", () => {
    log.info({}, "redis is reachable");
    state = "up";
  });
  observeNodes(redis, log);
  gatherWrites(redis);
  return redis;
}

/** A cluster stays ready while one of its nodes is away, although nothing gets on that has its keys there. */
function observeNodes(redis: Redis, log: Logger): void {
  if (!isCluster(redis)) return;
  const away = new Set<string>();
  redis.on("node error", (err: unknown, node: string) => {
    if (redis.status !== "ready" || away.has(node)) return;
    away.add(node);
    log.warn({ err, node }, "redis is not reachable, trying again");
  });
  redis.on("+node", (one: Single) => {
    const node = `${one.options.host}:${one.options.port}`;
    one.once("ready", () => {
      if (away.delete(node)) log.info({ node }, "redis is reachable");
    });
  });
}
