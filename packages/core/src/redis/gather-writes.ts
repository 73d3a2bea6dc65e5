import type { Redis as Single } from "ioredis";
import { isCluster, type Redis } from "./nodes.ts";

/** Redis begins with the first commands of a round while the last are still made. */
const MOST_BYTES = 16_384;

/**
 * Hands what is sent to Redis in one round of the event loop to the system at once, not command by command: each such call
 * costs as much as the rest of a command. Nothing else changes: commands are sent in their order, and answered one by one.
 */
export function gatherWrites(redis: Redis): void {
  if (isCluster(redis)) redis.on("+node", gatherWritesOf);
  else gatherWritesOf(redis);
}

function gatherWritesOf(one: Single): void {
  one.on("connect", () => {
    const { stream } = one;
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    let isCorked = false;
    const uncork = () => {
      isCorked = false;
      stream.uncork();
    };
    stream.write = (...args: unknown[]) => {
      if (!isCorked) {
        isCorked = true;
        stream.cork();
        setImmediate(uncork);
      }
      const mayGoOn = write(...args);
      if (stream.writableLength > MOST_BYTES) {
        stream.uncork();
        stream.cork();
      }
      return mayGoOn;
    };
  });
}
