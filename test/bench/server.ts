import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { cleanEnvironment } from "../support/clean-environment.ts";
import { until } from "../support/until.ts";

/** A process that is measured. What it logs goes to a file, so that nobody spends time on reading it meanwhile. */
export interface Server {
  readonly pid: number;
  /** Waits for a JSON line with this message, and gives it. */
  untilLogged(msg: string): Promise<Readonly<Record<string, unknown>>>;
  /** Ends it and removes what it has logged. Throws where it has not ended well. */
  stop(): Promise<void>;
}

const DIR = new URL("../../.local/bench/", import.meta.url).pathname;
let count = 0;

/** `args` for node. */
export function startServer(args: readonly string[], environment: Readonly<Record<string, string>>): Server {
  mkdirSync(`${DIR}empty`, { recursive: true });
  count += 1;
  const file = `${DIR}${process.pid}-${count}.log`;
  const output = openSync(file, "w");
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...args], {
    cwd: `${DIR}empty`,
    env: { ...cleanEnvironment(), ...environment },
    // The channel ends it when this process is gone.
    stdio: ["ignore", output, output, "ipc"],
  });
  closeSync(output);
  const exited = once(child, "exit");
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);

  return {
    pid: child.pid ?? 0,
    async untilLogged(msg) {
      const look = () => {
        const text = readFileSync(file, "utf8");
        const line = text.split("\n").find((one) => one.startsWith("{") && JSON.parse(one).msg === msg);
        if (line !== undefined) return JSON.parse(line) as Readonly<Record<string, unknown>>;
        if (child.exitCode !== null) throw new Error(`it ended before it logged "${msg}":\n${text}`);
        return undefined;
      };
      return await until(`"${msg}" is logged`, look, { deadlineMs: 30_000, everyMs: 50 });
    },
    async stop() {
      if (child.exitCode === null) child.kill("SIGTERM");
      const [code] = await exited;
      process.off("exit", kill);
      if (code !== 0) throw new Error(`it ended with exit code ${code}:\n${readFileSync(file, "utf8").slice(-2_000)}`);
      rmSync(file);
    },
  };
}
