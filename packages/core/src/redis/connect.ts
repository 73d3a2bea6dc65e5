import { Cluster, type RedisOptions, Redis as Single } from "ioredis";
import { type RedisAddress, readRedisUrl } from "../config/redis-url.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Redis } from "./nodes.ts";

export type { Redis } from "./nodes.ts";

/**
 * Shared by both kinds of connection: come back fast after Redis does, for as long as it takes. Each also has a time after
 * which a connection that answers nothing is given up, as nobody says so when the machine at its other end is gone.
 */
const RECONNECTING = {
  connectTimeout: 5_000,
  keepAlive: 10_000,
  retryStrategy: (attempt: number) => Math.min(50 * 2 ** attempt, 1_000),
  // CLIENT SETINFO is unknown to Redis 7.0.
  disableClientInfo: true,
} as const satisfies RedisOptions;

/** A primary that was demoted keeps its connections; a new one leads to whoever is primary now. */
const RECONNECT_MS = 1_000;

function reconnectWhenDemoted(): (error: Error) => boolean {
  let last = -Infinity;
  return ({ message }) => {
    const now = performance.now();
    if (!message.startsWith("READONLY") || now - last < RECONNECT_MS) return false;
    last = now;
    return true;
  };
}

/** What would change the types of answers is left out. */
type Options = RedisOptions & { replyMapping?: never };

/** As REDIS_URL says. Through Sentinels each connection leads to whoever is the primary when it is made. */
function open(url: string, options: Options): Redis {
  const address = readRedisUrl(url);
  switch (address?.kind) {
    case undefined:
      throw new TypeError("this is no address of Redis, see REDIS_URL");
    case "single":
      return new Single(address.url, options);
    case "sentinel":
      return new Single({
        ...options,
        ...accessTo(address),
        ...(address.isTls && { enableTLSForSentinelMode: true }),
        sentinels: [...address.hosts],
        name: address.name,
        db: address.db,
        sentinelRetryStrategy: RECONNECTING.retryStrategy,
        // No `failoverDetector`: one that fires while a connection is being made ends that for good. Sentinels close the
        // connections of a primary that they demote.
      });
    case "cluster": {
      const { enableOfflineQueue = true, ...ofNode } = options;
      const clusterOptions = {
        redisOptions: { ...ofNode, ...accessTo(address) },
        enableOfflineQueue,
        clusterRetryStrategy: RECONNECTING.retryStrategy,
        slotsRefreshTimeout: SLOTS_TIMEOUT_MS,
        slotsRefreshInterval: SLOTS_INTERVAL_MS,
      };
      return new Cluster([...address.hosts], clusterOptions);
    }
  }
}

/** Which node has which key: how long an answer to that may take, and how often it is asked without a reason. */
const SLOTS_TIMEOUT_MS = 2_000;
const SLOTS_INTERVAL_MS = 10_000;

function accessTo({ username, password, isTls }: Exclude<RedisAddress, { kind: "single" }>): Options {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(isTls && { tls: {} }),
  };
}

/** A producer answers somebody who waits: its commands fail at once while Redis is away. */
export function connectProducer(url: string, log: Logger): Redis {
  return observed(
    open(url, {
      ...RECONNECTING,
      reconnectOnError: reconnectWhenDemoted(),
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
  return observed(
    open(url, {
      ...RECONNECTING,
      reconnectOnError: reconnectWhenDemoted(),
      socketTimeout: 20_000,
      maxRetriesPerRequest: null,
    }),
    log,
  );
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

/** Gives a connection up that answers nothing, and makes another. */
export function reconnect(redis: Redis): void {
  redis.disconnect(true);
}

export function disconnect(redis: Redis): void {
  redis.disconnect();
}

/** Whether an error says no more than that Redis is away. */
export function isConnectionError(error: Error): boolean {
  const code = "code" in error ? String(error.code) : "";
  return (
    /^E[A-Z_]+$/.test(code) ||
    /connection is closed|stream isn't writeable|cluster isn't ready|sentinels are unreachable|slots cache|startup nodes|cluster redirections/i.test(
      error.message,
    )
  );
}

/** Says once that Redis went away and once that it is back, not at every attempt in between. */
function observed(redis: Redis, log: Logger): Redis {
  let state: "unknown" | "up" | "down" = "unknown";
  const down = (err?: unknown) => {
    if (state === "down") return;
    state = "down";
    log.warn({ err }, "redis is not reachable, trying again");
  };
  redis.on("error", down);
  redis.on("close", () => {
    if (state === "up") down();
  });
  redis.on("end", () => {
    state = "unknown";
  });
  redis.on("ready", () => {
    log.info({}, "redis is reachable");
    state = "up";
  });
  return redis;
}
