import type { SharedTier } from "../calendly/cache.ts";
import type { Redis } from "../redis/connect.ts";
import { cacheDropChannel, cacheKey, cacheLockKey } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

const unlockCache = defineScript({
  name: "unlock-cache",
  keys: ["lock"],
  args: ["holder"],
  reply: (raw) => raw === 1,
});

/** The tier of a cache that all processes on one Redis share. `subscriber` is a connection for nothing else. */
export async function openSharedTier(redis: Redis, subscriber: Redis): Promise<SharedTier> {
  const listeners: ((key: string) => void)[] = [];
  subscriber.on("message", (channel: string, key: string) => {
    if (channel === cacheDropChannel) for (const listener of listeners) listener(key);
  });
  await subscriber.subscribe(cacheDropChannel);
  return {
    get: async (key) => (await redis.get(cacheKey(key))) ?? undefined,
    async put(key, kept, keepMs) {
      await redis.set(cacheKey(key), kept, "PX", keepMs);
    },
    lock: async (key, holder, ms) => (await redis.set(cacheLockKey(key), holder, "PX", ms, "NX")) === "OK",
    async unlock(key, holder) {
      await unlockCache(redis, { lock: cacheLockKey(key) }, { holder });
    },
    async drop(key) {
      await redis.del(cacheKey(key));
      await redis.publish(cacheDropChannel, key);
    },
    onDrop: (listener) => listeners.push(listener),
  };
}
