import { setTimeout as pause } from "node:timers/promises";

/** What saying goodbye to Redis may take, which may be away. */
export const GOODBYE_MS = 1_000;

/** Waits for something to end, however it ends, but no longer than that. */
export async function withinTime(ms: number, pending: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const late = pause(ms, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([pending.catch(() => {}), late]);
  timer.abort();
}
