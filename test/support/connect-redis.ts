import { connectWorker, disconnect, type Redis, untilReady } from "@calendly-worker/core/redis/connect";
import { primariesOf } from "@calendly-worker/core/redis/nodes";
import { createLogger, type Logger } from "@calendly-worker/core/telemetry/logger";
import { keyCount } from "./whole-redis.ts";

export const silent: Logger = createLogger({ app: "test", level: "silent" });

const CONNECT_DEADLINE_MS = 5_000;

/** A connection of the test's own, ready to use. */
export async function connectRedis(url: string): Promise<Redis> {
  const redis = connectWorker(url, silent);
  try {
    await untilReady(redis, AbortSignal.timeout(CONNECT_DEADLINE_MS));
  } catch (cause) {
    disconnect(redis);
    throw new Error(`the test's Redis could not be reached within ${CONNECT_DEADLINE_MS} ms`, { cause });
  }
  return redis;
}

/** Refuses a Redis that holds anything: it might be somebody's. */
export async function assertEmpty(url: string): Promise<void> {
  const redis = await connectRedis(url);
  const keys = await keyCount(redis);
  disconnect(redis);
  if (keys > 0) {
    throw new Error(
      `TEST_REDIS_URL must name an empty Redis, and this one holds ${keys} keys. Nothing was written to it.`,
    );
  }
}

/** Leaves a Redis that was empty at the start as it was found. */
export async function removeOurKeys(url: string): Promise<void> {
  const redis = await connectRedis(url);
  for (const match of ["{calendly:*", "calendly:*"]) {
    for (const node of primariesOf(redis)) {
      for await (const keys of node.scanStream({ match, count: 1_000 })) {
        // One by one: a cluster takes several in a command only where they lie in one slot.
        await Promise.all(keys.map((key: string) => node.unlink(key)));
      }
    }
  }
  disconnect(redis);
}
