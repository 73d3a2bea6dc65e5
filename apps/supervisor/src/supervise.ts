import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { EXIT } from "@calendly-worker/core/lifecycle/run-app";
import type { Logger } from "@calendly-worker/core/telemetry/logger";

/** One app that is kept running. */
export interface Program {
  readonly name: string;
  /** Arguments of Node, the script first. */
  readonly args: readonly string[];
}

export interface Restarts {
  /** The delay before a restart doubles from the first to the longest. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A program that has run this long is taken as sound: its count of failures in a row starts again. */
  readonly soundAfterMs: number;
  /** Failures in a row after which everything is given up. */
  readonly mostInARow: number;
}

export interface Supervisor {
  /** Resolves when all programs have ended: true when that was asked for and all ended well. */
  readonly ended: Promise<boolean>;
  /** Tells every program to stop; kills what still runs after `deadlineMs`. */
  stop(signal: NodeJS.Signals, deadlineMs: number): void;
}

/** Runs the programs, and starts one that ends unasked again after a delay, until it fails too often in a row. */
export function supervise(
  programs: readonly Program[],
  restarts: Restarts,
  stopDeadlineMs: number,
  log: Logger,
): Supervisor {
  const children = new Map<string, ChildProcess>();
  const stopping = new AbortController();
  let gaveUp = false;
  let unclean = false;

  function stop(signal: NodeJS.Signals, deadlineMs: number): void {
    for (const child of children.values()) child.kill(signal);
    if (stopping.signal.aborted) return;
    stopping.abort();
    setTimeout(() => {
      for (const [program, child] of children) {
        log.error({ program, deadlineMs }, "did not stop in time, killing it");
        child.kill("SIGKILL");
      }
    }, deadlineMs).unref();
  }

  function giveUp(program: string, message: string): void {
    log.fatal({ event: "gave_up", program }, message);
    gaveUp = true;
    stop("SIGTERM", stopDeadlineMs);
  }

  async function keepRunning({ name, args }: Program): Promise<void> {
    let failures = 0;
    while (!stopping.signal.aborted) {
      const startedAt = performance.now();
      // The IPC channel is how a program notices that its supervisor is gone.
      const child = spawn(process.execPath, [...args], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      children.set(name, child);
      log.info({ program: name, pid: child.pid }, "started");
      const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
      children.delete(name);

      if (stopping.signal.aborted) {
        unclean ||= code !== EXIT.clean;
        log.info({ program: name, code, signal }, "ended");
        return;
      }
      if (code === EXIT.refused) return giveUp(name, "refuses to start, and a restart would not help");
      failures = performance.now() - startedAt >= restarts.soundAfterMs ? 1 : failures + 1;
      if (failures >= restarts.mostInARow) return giveUp(name, `failed ${failures} times in a row, giving up`);
      const delayMs = Math.min(restarts.firstDelayMs * 2 ** (failures - 1), restarts.longestDelayMs);
      log.error({ program: name, code, signal, failures, delayMs }, "ended unasked, starting it again");
      await pause(delayMs, stopping.signal);
    }
  }

  const ended = Promise.all(programs.map(keepRunning)).then(() => !gaveUp && !unclean);
  return { ended, stop };
}

/** Waits, or less when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
