import { Cluster, type RedisOptions, Redis as Single } from "ioredis";
import { type RedisAddress, readRedisUrl } from "../config/redis-url.ts";
import type { Redis } from "./nodes.ts";

/**
 * Shared by all connections: come back fast after Redis does, for as long as it takes. Each also has a time after
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

/**
 * A connection as REDIS_URL says. Through Sentinels each one leads to whoever is the primary when it is made. Its errors
 * are events: listen to "error".
 */
export function openRedis(url: string, ofCommands: Options = {}): Redis {
  const options = { socketTimeout: 20_000, ...RECONNECTING, reconnectOnError: reconnectWhenDemoted(), ...ofCommands };
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
        // The first is for the primary, the second for the Sentinels.
        ...(address.isTls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
        sentinels: [...address.hosts],
        name: address.name,
        db: address.db,
        sentinelRetryStrategy: RECONNECTING.retryStrategy,
        sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
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
        ...(address.isTls && { dnsLookup: keepName }),
      };
      return settling(new Cluster([...address.hosts], clusterOptions));
    }
  }
}

/**
 * ioredis leaves the promise of `connect()` pending for good where the nodes answer and say that the cluster fails, as they
 * do while a replica takes over: it tries again by itself, and only the event "ready" says so. BullMQ waits for the
 * promise before it begins the next job. Here, and in copies of it, a connection that is ready settles it.
 */
function settling(cluster: Cluster): Cluster {
  const connect = cluster.connect.bind(cluster);
  const duplicate = cluster.duplicate.bind(cluster);
  let ready: Promise<void> | undefined;
  // One listener, however many attempts it takes.
  const untilReady = () => {
    ready ??= new Promise<void>((resolve) => cluster.once("ready", resolve)).finally(() => {
      ready = undefined;
    });
    return ready;
  };
  cluster.connect = () => Promise.race([connect(), untilReady()]);
  cluster.duplicate = (...like) => settling(duplicate(...like));
  return cluster;
}

/** After that the next Sentinel is asked. */
const SENTINEL_TIMEOUT_MS = 2_000;
/** Which node has which key: how long an answer to that may take, and how often it is asked without a reason. */
const SLOTS_TIMEOUT_MS = 2_000;
const SLOTS_INTERVAL_MS = 10_000;

/** A name whose IP address takes its place is no longer there for the certificate to be compared with. */
function keepName(host: string, done: (error: null, host: string) => void): void {
  done(null, host);
}

function accessTo({ username, password, isTls }: Exclude<RedisAddress, { kind: "single" }>): Options {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(isTls && { tls: {} }),
  };
}
