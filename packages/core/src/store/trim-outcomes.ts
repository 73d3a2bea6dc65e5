import type { Redis } from "ioredis";
import { outcomeStreamKey, type Shard } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

export interface Trimmed {
  readonly dropped: number;
  /** Names of consumer groups that lost outcomes which they had not handled. */
  readonly laggards: readonly string[];
}

export interface OutcomeTrimmer {
  /**
   * Drops outcomes older than the retention. What a consumer group has not acknowledged is kept up to twice as long: a
   * group that nobody reads any more must not fill Redis.
   */
  trim(shard: Shard): Promise<Trimmed>;
}

const DAY_MS = 86_400_000;

const trimOutcomes = defineScript({
  name: "trim-outcomes",
  keys: ["outcomes"],
  args: ["keep_from", "keep_from_at_last"],
  reply: (raw): Trimmed => {
    const [dropped, laggards] = raw as [number, string[]];
    return { dropped, laggards };
  },
});

export function createOutcomeTrimmer(ports: {
  readonly redis: Redis;
  readonly retentionDays: number;
  readonly now: () => number;
}): OutcomeTrimmer {
  const { redis, retentionDays, now } = ports;
  return {
    trim(shard) {
      const retentionMs = retentionDays * DAY_MS;
      const limits = { keep_from: now() - retentionMs, keep_from_at_last: now() - 2 * retentionMs };
      return trimOutcomes(redis, { outcomes: outcomeStreamKey(shard) }, limits);
    },
  };
}
