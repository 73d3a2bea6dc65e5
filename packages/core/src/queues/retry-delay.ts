import type { QueueContract } from "./contract.ts";

/** Milliseconds to wait after the `attempt`-th try has failed: doubling up to a longest delay, shortened at random. */
export function retryDelay(retry: QueueContract["retry"], attempt: number, random: () => number): number {
  const full = Math.min(retry.firstDelayMs * 2 ** (attempt - 1), retry.longestDelayMs);
  return Math.round(full * (1 - retry.jitter * random()));
}
