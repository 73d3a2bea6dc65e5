import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { delimiter, dirname } from "node:path";
import type { Variables } from "./app-process.ts";
import { atExit } from "./at-exit.ts";
import { until } from "./until.ts";

/** One command of a guide, and what the guide shows of its output; undefined where it shows nothing. */
export interface GuideStep {
  readonly command: string;
  readonly shown: string | undefined;
}

/** All commands in the sh blocks of a document, in order: a line each, with the comments below it as what it prints. */
export function readSteps(markdown: string): GuideStep[] {
  return [...markdown.matchAll(/^```sh\n(.*?)^```$/gms)].flatMap(([, block = ""]) => {
    const steps: { command: string; shown: string | undefined }[] = [];
    for (const line of block.trimEnd().split("\n")) {
      const last = steps.at(-1);
      if (!line.startsWith("#")) steps.push({ command: line, shown: undefined });
      else if (last === undefined) throw new Error(`nothing stands above what is shown: ${line}`);
      else last.shown = `${last.shown ?? ""}${line.replace(/^# ?/, "")}\n`;
    }
    return steps;
  });
}

/** Commands that the prose names. */
export function readNamedCommands(markdown: string): string[] {
  const prose = markdown.replaceAll(/^```.*?^```$/gms, "");
  return [...new Set([...prose.matchAll(/`((?:pnpm|npx|docker) [^`]+)`/g)].map(([, command = ""]) => command))];
}

/** What differs from run to run, and the line in which pnpm repeats a command. */
function comparable(text: string): string {
  return text
    .replaceAll(/^\$ node .*\n/gm, "")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replaceAll(/^\[[\d:.]+\]/gm, "[TIME]")
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{16}\b|verify-[0-9a-f]{12}/g, "ID")
    .replaceAll(/\d+ (ms|requests|of 10000)\b/g, "N $1");
}

/** Whether a command printed what is shown: line by line, with any lines for `…`, and anything for one at a line's end. */
export function isAsShown(shown: string, printed: string): boolean {
  const pattern = comparable(shown)
    .split("\n")
    .map((line) => (line === "…" ? "(?:.*\n)*?" : `${quoted(line).replace(/…$/, ".*")}\n`))
    .join("");
  return new RegExp(`^${pattern.replace(/\n$/, "")}$`).test(comparable(printed));
}

/** Of programs that print at the same time: whether each line that is shown has come, whatever comes between. */
export function hasAllLines(shown: string, printed: string): boolean {
  const lines = new Set(comparable(printed).split("\n"));
  return comparable(shown)
    .split("\n")
    .every((line) => line === "" || lines.has(line));
}

function quoted(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

export interface GuideCommand {
  /** What it has printed so far, on both outputs. */
  printed(): string;
  /** Waits until it has printed that. */
  said(text: string): Promise<void>;
  readonly code: Promise<number | null>;
  /** As Ctrl-C does; resolves when nothing of it runs any more. */
  interrupt(): Promise<void>;
}

/** Runs a command in a bash of its own, as if typed in at `dir`. */
export function runInBash(command: string, dir: string, env: Variables, input = ""): GuideCommand {
  const child: ChildProcess = spawn("bash", ["-c", `exec 2>&1\n${command}`], { cwd: dir, env, detached: true });
  const kill = () => child.pid !== undefined && signalGroup(child.pid, "SIGKILL");
  atExit.add(kill);
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const code = once(child, "close").then(([status]) => status as number | null);
  return {
    printed: () => text,
    said: async (what) => {
      await until(`"${what}" is printed`, () => text.includes(what), { deadlineMs: 20_000 }).catch((error: Error) => {
        throw new Error(`${error.message}; it printed:\n${text}`);
      });
    },
    code,
    async interrupt() {
      const { pid = 0 } = child;
      signalGroup(pid, "SIGINT");
      await code;
      await until("all of it has ended", () => !signalGroup(pid, 0), { deadlineMs: 20_000 });
      atExit.remove(kill);
    },
  };
}

/** False where there is no such group any more. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

/** A PATH on which `pnpm` is the one that the project is installed with. */
export function pathWithPnpm(): string {
  const source = readFileSync(new URL("../../scripts/pnpm.mjs", import.meta.url), "utf8");
  const [, pnpm = ""] = /PNPM = "(.+?)"/.exec(source) ?? [];
  const npx = ["--yes", "--package", pnpm, "--", "sh", "-c", "command -v pnpm"];
  const found = execFileSync("npx", npx, { encoding: "utf8" }).trim();
  return [dirname(found), process.env["PATH"]].join(delimiter);
}
