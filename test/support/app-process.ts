import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { atExit } from "./at-exit.ts";
import { cleanEnvironment } from "./clean-environment.ts";
import { until } from "./until.ts";

export type LogLine = { readonly level: string; readonly msg: string } & Readonly<Record<string, unknown>>;

/** An app as a real process, with a clean environment: no variable of the shell and no `.env` file reaches it. */
export interface AppProcess {
  readonly pid: number;
  /** Every JSON line that it has logged so far. */
  readonly logs: readonly LogLine[];
  /** Everything it has printed so far, on both outputs. */
  readonly output: () => string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Waits until a line with this message was logged, and gives it. */
  untilLogged(msg: string, deadlineMs?: number): Promise<LogLine>;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

export type Variables = Readonly<Record<string, string>>;

/** This tree. */
export const ROOT = new URL("../../", import.meta.url);
/** A working directory without a `.env` file. */
const EMPTY_DIR = new URL(".local/empty/", ROOT).pathname;

/** `tree`: where the project was built. */
export function appMain(app: "ingest" | "worker" | "supervisor", tree: URL = ROOT): string {
  return new URL(`apps/${app}/dist/main.js`, tree).pathname;
}

/** Starts an app, with options for node before it, out of this tree or another one. The caller ends it. */
export function startApp(
  app: "ingest" | "worker" | "supervisor",
  variables: Variables,
  nodeOptions: readonly string[] = [],
  tree: URL = ROOT,
): AppProcess {
  return startNode([...nodeOptions, appMain(app, tree)], variables);
}

export function startNode(args: readonly string[], variables: Variables): AppProcess {
  mkdirSync(EMPTY_DIR, { recursive: true });
  const child = spawn(process.execPath, [...args], {
    cwd: EMPTY_DIR,
    env: { ...cleanEnvironment(), ...variables },
    // A group of its own, so that Ctrl-C reaches only who started it; the IPC channel ends it when that one is gone.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  return observe(child);
}

function observe(child: ChildProcess): AppProcess {
  const logs: LogLine[] = [];
  const printed: string[] = [];
  // "close" comes when all that it has printed has been read, too.
  const exited = once(child, "close").then(([code, signal]) => ({ code, signal }));
  const end = () => child.kill("SIGKILL");
  atExit.add(end);
  child.once("exit", () => atExit.remove(end));
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      printed.push(line);
      if (line.startsWith('{"')) logs.push(JSON.parse(line));
    });
  }
  const output = () => printed.join("\n");

  return {
    pid: child.pid ?? 0,
    logs,
    output,
    exited,
    async untilLogged(msg, deadlineMs = 15_000) {
      const look = () => {
        const line = logs.find((candidate) => candidate.msg === msg);
        if (line === undefined && (child.exitCode !== null || child.signalCode !== null))
          throw new Error(`ended before logging "${msg}":\n${output()}`);
        return line;
      };
      return await until(`"${msg}" is logged`, look, { deadlineMs }).catch((error: Error) => {
        throw new Error(`${error.message}; it printed:\n${output()}`);
      });
    },
    signal: (signal) => child.kill(signal),
    async end(signal = "SIGTERM") {
      child.kill(signal);
      await exited;
    },
  };
}
