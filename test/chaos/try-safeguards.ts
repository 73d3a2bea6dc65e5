import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SAFEGUARDS, type Safeguard } from "./safeguards.ts";

// Takes one safeguard after the other away, in a copy of the tree, and looks whether the test that is named for it is red
// then, and green before. Exit 1 where one is not.

const USAGE = `pnpm safeguards [options]

  --only WORD   only safeguards whose name holds it
`;
const { values } = parseArgs({ options: { only: { type: "string", default: "" }, help: { type: "boolean" } } });
if (values.help) {
  process.stdout.write(USAGE);
  process.exit(0);
}

const root = fileURLToPath(new URL("../../", import.meta.url));
const copy = join(root, ".local", "safeguards");
const node = join(root, "node_modules", ".bin", "node");

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Every tracked file as it is now. Packages are linked, not copied: nothing writes to them. */
function makeCopy(): void {
  rmSync(copy, { recursive: true, force: true });
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  });
  for (const file of files.split("\0").filter((name) => name !== "" && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  for (const dir of ["", "packages/core", "apps/ingest", "apps/worker", "apps/supervisor", "apps/cli", "test"]) {
    if (existsSync(join(root, dir, "node_modules")))
      execFileSync("cp", ["--archive", "--link", join(root, dir, "node_modules"), join(copy, dir)]);
  }
}

type Result = "green" | "red" | "does not build" | "no test ran";

function resultOf({ file, name }: Safeguard["test"]): Result {
  const build = spawnSync(node, ["scripts/build.mjs"], { cwd: copy, stdio: "ignore" });
  if (build.status !== 0) return "does not build";
  const report = join(copy, ".local", "result.json");
  rmSync(report, { force: true });
  // A red test may leave open what it has started.
  const args = ["scripts/bootstrap.mjs", "test", file, "-t", name, "--forceExit", "--json", `--outputFile=${report}`];
  spawnSync(node, args, { cwd: copy, stdio: "ignore" });
  if (!existsSync(report)) return "no test ran";
  const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
  if (numPassedTests + numFailedTests === 0) return "no test ran";
  return numFailedTests > 0 ? "red" : "green";
}

makeCopy();
const chosen = SAFEGUARDS.filter(({ name }) => name.includes(values.only));
let bad = chosen.length === 0 ? 1 : 0;
for (const { name, file, code, without, test } of chosen) {
  const path = join(copy, file);
  const source = readFileSync(path, "utf8");
  if (source.split(code).length !== 2) {
    bad += 1;
    say(`FAILED  ${name}: its code stands ${source.split(code).length - 1} times in ${file}, expected once`);
    continue;
  }
  const before = resultOf(test);
  writeFileSync(
    path,
    source.replace(code, () => without),
  );
  const after = resultOf(test);
  writeFileSync(path, source);
  const isRight = before === "green" && after === "red";
  if (!isRight) bad += 1;
  say(`${isRight ? "ok    " : "FAILED"}  ${name}: with it ${before}, without it ${after} (${test.file})`);
}
rmSync(copy, { recursive: true, force: true });
process.exit(bad === 0 ? 0 : 1);
