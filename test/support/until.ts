import { setTimeout as pause } from "node:timers/promises";

/** Waits until `condition` gives something truthy, and gives that; throws after the deadline, saying what never came true. */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { deadlineMs = 10_000, everyMs = 20 }: { readonly deadlineMs?: number; readonly everyMs?: number } = {},
): Promise<Exclude<T, undefined | false | null>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const result = await condition();
    if (result !== undefined && result !== false && result !== null)
      return result as Exclude<T, undefined | false | null>;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain until: ${what}`);
    await pause(everyMs);
  }
}
