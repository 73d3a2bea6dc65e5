import type { Worker } from "bullmq";
import type { Logger } from "../telemetry/logger.ts";

const FIRST_MS = 1_000;
const LONGEST_MS = 15_000;

/** Lets a worker rest while Redis answers but refuses. */
export interface StandBack {
  /** Redis has refused a command of the worker. */
  begin(err: Error): void;
  isResting(): boolean;
  end(): void;
}

/**
 * BullMQ asks for the next job again at once when Redis refuses (out of memory, read-only, no disk), as fast as it can:
 * that keeps a core busy and fills the log. The worker is paused instead, for a time that doubles, and it is said once
 * that it begins and once that it is over.
 */
export function createStandBack(worker: Worker, log: Logger): StandBack {
  let timer: NodeJS.Timeout | undefined;
  let delayMs = FIRST_MS;
  let state: "working" | "resting" | "trying" = "working";

  function rest(): void {
    state = "resting";
    void worker.pause(true);
    clearTimeout(timer);
    timer = setTimeout(tryAgain, delayMs);
    delayMs = Math.min(delayMs * 2, LONGEST_MS);
  }

  function tryAgain(): void {
    state = "trying";
    worker.resume();
    timer = setTimeout(recover, FIRST_MS);
  }

  function recover(): void {
    state = "working";
    delayMs = FIRST_MS;
    log.info({}, "redis takes commands again");
  }

  return {
    begin(err) {
      if (state === "resting") return;
      if (state === "working") log.warn({ err }, "redis refuses commands, trying again now and then");
      rest();
    },
    isResting: () => state === "resting",
    end() {
      clearTimeout(timer);
      state = "resting";
    },
  };
}
