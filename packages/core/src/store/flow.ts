import type { Redis } from "../redis/connect.ts";
import { flowKey } from "../redis/keys.ts";

/** What passes an installation, minute by minute, for a person to look at. */
export const FLOW = ["accepted", "folded", "published", "refused", "failed"] as const;
export type Flowing = (typeof FLOW)[number];

export type FlowMinute = { readonly startedAt: number } & Readonly<Record<Flowing, number>>;

export interface Flow {
  count(what: Flowing, by?: number): void;
  /** Writes down what has been counted since the last time. Never rejects: what Redis does not take is kept for the next. */
  flush(): Promise<void>;
  /** The last minutes, the oldest first, the current one last: of all processes, as far as they have flushed. */
  last(minutes: number): Promise<FlowMinute[]>;
}

const MINUTE_MS = 60_000;
const KEPT_S = 7_200;

export function createFlow(redis: Redis, now: () => number): Flow {
  const counted = new Map<string, number>();
  const minuteNow = () => Math.floor(now() / MINUTE_MS);

  function add(key: string, by: number): void {
    counted.set(key, (counted.get(key) ?? 0) + by);
  }

  return {
    count: (what, by = 1) => add(`${minuteNow()}/${what}`, by),
    async flush() {
      for (const key of [...counted.keys()]) {
        // As it is now: more may have come while the one before was written.
        const by = counted.get(key) ?? 0;
        counted.delete(key);
        const [minute = "", what = ""] = key.split("/");
        const at = flowKey(Number(minute));
        try {
          await redis.multi().hincrby(at, what, by).expire(at, KEPT_S).exec();
        } catch {
          add(key, by);
        }
      }
    },
    async last(minutes) {
      const newest = minuteNow();
      const all = Array.from({ length: minutes }, (_, index) => newest - minutes + 1 + index);
      return await Promise.all(
        all.map(async (minute) => {
          const counts = await redis.hgetall(flowKey(minute));
          const of = (what: Flowing) => Number(counts[what] ?? 0);
          return {
            startedAt: minute * MINUTE_MS,
            accepted: of("accepted"),
            folded: of("folded"),
            published: of("published"),
            refused: of("refused"),
            failed: of("failed"),
          };
        }),
      );
    },
  };
}
