import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { promisify } from "node:util";
import { ROOT } from "./app-process.ts";

/**
 * The commit of the release before this one: that before the version was raised to the one that is in the making.
 * Undefined where the history is not there, as in a clone with a depth.
 */
export function previousRelease(): string | undefined {
  const raised = git("log", "-1", "--format=%H", '-G^  "version": ', "--", "package.json");
  if (raised === undefined) return undefined;
  return git("rev-parse", "--verify", "--quiet", `${raised}^`);
}

function git(...args: string[]): string | undefined {
  const { status, stdout } = spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  return status === 0 && stdout !== "" ? stdout.trim() : undefined;
}

let building: Promise<URL> | undefined;

/** The tree of that release, installed and built as its own bootstrap does it; once for all who ask. */
export function buildPreviousRelease(): Promise<URL> {
  building ??= build();
  return building;
}

async function build(): Promise<URL> {
  const commit = previousRelease();
  if (commit === undefined) throw new Error("the history of this clone does not go back to the release before");
  const tree = new URL(`.local/release-${commit.slice(0, 12)}/`, ROOT);
  mkdirSync(tree, { recursive: true });
  const archive = execFileSync("git", ["archive", commit], { cwd: ROOT, maxBuffer: 256 * 2 ** 20 });
  execFileSync("tar", ["--extract", "--directory", tree.pathname], { input: archive });
  // Its tests' runner only says its version: whatever comes before that is what is wanted.
  await promisify(execFile)(process.execPath, ["scripts/bootstrap.mjs", "test", "--version"], { cwd: tree });
  return tree;
}
