import { setTimeout as pause } from "node:timers/promises";
import type { AppProcess } from "../support/app-process.ts";
import { until } from "../support/until.ts";

/** A place in an installation that one process after the other fills, as whoever runs it starts it again. */
export interface Role {
  /** Sends a signal to the process, and waits for its end; the next one is started. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** From now on others are started: the process that fills it is ended with SIGTERM. Resolves when the next one is there. */
  replace(start: () => Promise<AppProcess>): Promise<void>;
  freeze(): void;
  thaw(): void;
  /** The process that fills it now. */
  now(): AppProcess;
  /** Every process that has filled it, the last one included. */
  readonly all: readonly AppProcess[];
  /** Ends the process, and starts no other. */
  close(): Promise<void>;
}

const START_AGAIN_MS = 100;

export async function fillRole(startFirst: () => Promise<AppProcess>): Promise<Role> {
  let start = startFirst;
  const all = [await start()];
  const last = () => all.at(-1) as AppProcess;
  let isClosing = false;

  async function keepFilled(): Promise<void> {
    while (!isClosing) {
      await last().exited;
      if (isClosing) return;
      await pause(START_AGAIN_MS);
      all.push(await start());
    }
  }
  const keeping = keepFilled();
  // Whoever closes the role hears of it.
  keeping.catch(() => {});

  return {
    all,
    now: last,
    async end(signal) {
      await last().end(signal);
    },
    async replace(startNext) {
      start = startNext;
      const before = all.length;
      last().signal("SIGTERM");
      last().signal("SIGCONT");
      await until("the next one is started", () => all.length > before, { deadlineMs: 30_000 });
    },
    freeze: () => last().signal("SIGSTOP"),
    thaw: () => last().signal("SIGCONT"),
    async close() {
      isClosing = true;
      last().signal("SIGCONT");
      await last().end("SIGTERM");
      await keeping;
      await last().end("SIGTERM");
    },
  };
}
