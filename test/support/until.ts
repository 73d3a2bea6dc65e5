import { setTimeout as pause } from "node:timers/promises";

/** Deadlines are given for a machine that has nothing else to do. They end what would never come true, and measure nothing. */
const PATIENCE = 3;

/** Waits until `condition` gives something truthy, and gives that; throws after the deadline, saying what never came true. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { deadlineMs = 10_000, everyMs = 20 }: { readonly deadlineMs?: number; readonly everyMs?: number } = {},
): Promise<Exclude<T, undefined | false | null>> {
  const end = performance.now() + deadlineMs * PATIENCE;
  for (;;) {
    const result = await condition();
    if (result) return result as Exclude<T, undefined | false | null>;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs * PATIENCE} ms in vain until: ${what}`);
    await pause(everyMs);
  }
}
