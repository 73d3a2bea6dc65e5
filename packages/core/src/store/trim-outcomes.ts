import type { Redis } from "../redis/connect.ts";
import { outcomeStreamKey, outcomesTrimmedKey, type Shard } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";
import { trimDeadLetters } from "./outcome-groups.ts";

export interface Trimmed {
  readonly dropped: number;
  /** Names of consumer groups that lost outcomes which they had not handled. */
  readonly lost: readonly string[];
  /** Names of consumer groups that will, unless they handle the oldest ones in as much time again. */
  readonly lagging: readonly string[];
}

export interface OutcomeTrimmer {
  /**
   * Drops outcomes older than the retention. What a consumer group has not acknowledged is kept longer, and what comes
   * from `oldestPush` on, the stream id of the oldest outcome that waits for a destination; but nothing beyond the maximum
   * age: a group that nobody reads any more must not fill Redis. What groups have given up goes after 30 days, whether its
   * outcome is kept or not.
   */
  trim(shard: Shard, oldestPush?: string): Promise<Trimmed>;
}

const DAY_MS = 86_400_000;
/** As the dead letters of deliveries and pushes. */
const DEAD_LETTER_DAYS = 30;

const trimOutcomes = defineScript({
  name: "trim-outcomes",
  keys: ["outcomes", "trimmed"],
  args: ["keep_from", "keep_from_at_last", "warn_from", "oldest_push"],
  reply: (raw): Trimmed => {
    const [dropped, lost, lagging] = raw as [number, string[], string[]];
    return { dropped, lost, lagging };
  },
});

export function createOutcomeTrimmer(ports: {
  readonly redis: Redis;
  readonly retentionDays: number;
  readonly maxAgeDays: number;
  readonly now: () => number;
}): OutcomeTrimmer {
  const { redis, retentionDays, maxAgeDays, now } = ports;
  const before = (days: number) => now() - days * DAY_MS;
  return {
    async trim(shard, oldestPush = "") {
      await trimDeadLetters(redis, shard, before(DEAD_LETTER_DAYS));
      const keys = { outcomes: outcomeStreamKey(shard), trimmed: outcomesTrimmedKey(shard) };
      return await trimOutcomes(redis, keys, {
        keep_from: before(Math.min(retentionDays, maxAgeDays)),
        keep_from_at_last: before(maxAgeDays),
        warn_from: before(maxAgeDays / 2),
        oldest_push: oldestPush,
      });
    },
  };
}
