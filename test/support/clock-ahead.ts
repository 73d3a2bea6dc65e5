import { execFileSync, spawnSync } from "node:child_process";
import type { Variables } from "./app-process.ts";

/** Whether that package is there. */
export function canBeAhead(): boolean {
  return spawnSync("faketime", ["--version"], { stdio: "ignore" }).status === 0;
}

/**
 * The environment of an app whose clock is so far ahead, by Debian's package `faketime`. What counts from a start on, and no
 * dates, goes at its own pace. A redis-server does not run so: its memory allocator asks for the time too early.
 */
export function clockAhead(seconds: number): Variables {
  const print = ["-f", `+${seconds}`, "sh", "-c", 'printf %s "$LD_PRELOAD"'];
  const library = execFileSync("faketime", print, { encoding: "utf8" });
  return { LD_PRELOAD: library, FAKETIME: `+${seconds}`, FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1" };
}
