import { RateLimiterMemory } from "rate-limiter-flexible";

/** Who guesses tokens is not listened to for a while. */
export interface GuessLimit {
  isReached(from: string): Promise<boolean>;
  /** A wrong guess. */
  count(from: string): Promise<void>;
}

const GUESSES = 20;
const WITHIN_S = 60;

/** Of one process, in its memory: it holds while Redis is away, and a guess costs nobody else a round trip. */
export function createGuessLimit(): GuessLimit {
  const limiter = new RateLimiterMemory({ points: GUESSES, duration: WITHIN_S });
  return {
    async isReached(from) {
      return ((await limiter.get(from))?.consumedPoints ?? 0) >= GUESSES;
    },
    async count(from) {
      // Rejects where the limit is reached already.
      await limiter.consume(from).catch(() => {});
    },
  };
}
