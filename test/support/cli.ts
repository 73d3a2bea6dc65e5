import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Variables } from "./app-process.ts";
import { cleanEnvironment } from "./clean-environment.ts";

const CLI = new URL("../../apps/cli/dist/main.js", import.meta.url).pathname;

export interface Ended {
  /** Null where a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** Starts a command as a process of its own, with nothing of the shell's environment but the PATH. */
export function startCommand(args: readonly string[], variables: Variables, input?: string): RunningCommand {
  const env = { ...cleanEnvironment(), ...variables };
  const child = spawn(process.execPath, [CLI, ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(input);
  // It may be gone before it reads.
  child.stdin.on("error", () => {});
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]).then(
    ([stdout, stderr, [status]]) => ({ status, stdout, stderr }),
  );
  return { child, ended };
}

export async function runCommand(args: readonly string[], variables: Variables, input?: string): Promise<Ended> {
  return await startCommand(args, variables, input).ended;
}
