import type { Random } from "./random.ts";

/** An instant in Calendly's form: UTC, six digits. */
export function timestamp(ms: number, microseconds = 0): string {
  return `${new Date(ms).toISOString().slice(0, -1)}${String(microseconds).padStart(3, "0")}Z`;
}

/** Gives the time now, to the microsecond, each later than the one before. `now` gives milliseconds. */
export function createStamp(now: () => number, random: Random): () => string {
  let last = 0;
  return () => {
    last = Math.max(last + 1, Math.floor(now()) * 1_000 + random.whole(0, 999));
    return timestamp(Math.floor(last / 1_000), last % 1_000);
  };
}
