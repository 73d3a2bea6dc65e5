import type { Redis } from "../redis/connect.ts";
import { snoozedTokenKey } from "../redis/keys.ts";

/** Advice to rotate a token that nobody wants to hear for a while. Another token in its place is another matter. */
export interface TokenSnoozes {
  snooze(fingerprint: string, ms: number): Promise<void>;
  wake(fingerprint: string): Promise<void>;
  /** In ms; undefined where it is not snoozed. */
  until(fingerprint: string): Promise<number | undefined>;
}

export function createTokenSnoozes(redis: Redis, now: () => number): TokenSnoozes {
  return {
    async snooze(fingerprint, ms) {
      await redis.set(snoozedTokenKey(fingerprint), "1", "PX", ms);
    },
    async wake(fingerprint) {
      await redis.del(snoozedTokenKey(fingerprint));
    },
    async until(fingerprint) {
      const left = await redis.pttl(snoozedTokenKey(fingerprint));
      return left > 0 ? now() + left : undefined;
    },
  };
}
