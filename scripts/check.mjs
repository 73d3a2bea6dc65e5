// Everything that must hold beside the tests: types, formatting and lint, generated files, and what must not be in the
// repository. Runs all of it and then fails when anything did.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(root, "node_modules", ".bin", name);

const checks = [
  ["build", bin("node"), ["scripts/build.mjs"]],
  ["types of the tests", bin("tsc"), ["-b", "test"]],
  ["format and lint", bin("biome"), ["check", "--error-on-warnings", "."]],
  ["generated files", bin("node"), ["scripts/generate.mjs", "--check"]],
  ["licences", bin("node"), ["scripts/licences.mjs"]],
  ["packages", bin("node"), ["scripts/audit.mjs"]],
];

let failed = 0;
for (const [name, program, args] of checks) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: "utf8" });
  report(name, status === 0 ? [] : [stdout, stderr].filter(Boolean));
  // What a check could not look at is said, although nothing is wrong.
  for (const note of status === 0 ? stdout.split("\n").filter((line) => line.startsWith("note:")) : []) {
    process.stdout.write(`         ${note}\n`);
  }
}
report("addresses and paths", findForeignAddresses());
process.exit(failed === 0 ? 0 : 1);

function report(name, problems) {
  process.stdout.write(`  ${problems.length === 0 ? "ok    " : "FAILED"} ${name}\n`);
  if (problems.length === 0) return;
  failed += 1;
  process.stdout.write(`${problems.join("\n")}\n`);
}

/** No registry's host and no path of a machine may be in a tracked file, least of all in the lockfile. */
function findForeignAddresses() {
  const { stdout } = spawnSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" });
  const forbidden =
    /https?:\/\/[^\s"')]*(npmjs|registry|artifactory)|\btarball: http|["'`= (]\/(root|work|home)\/[a-z]/;
  return stdout
    .split("\0")
    .filter((file) => file !== "" && file !== "scripts/check.mjs")
    .flatMap((file) =>
      readFileSync(join(root, file), "utf8")
        .split("\n")
        .flatMap((line, index) => (forbidden.test(line) ? [`${file}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
    );
}
