// Looks through all packages of the lockfile: each must be pinned by a digest to what the registry has, and none given up by
// its makers. Where the registry tells of known vulnerabilities, what is shipped must have none of them.
//
//   pnpm audit:packages
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { PNPM } from "./pnpm.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = Object.entries(parse(readFileSync(new URL("../pnpm-lock.yaml", import.meta.url), "utf8")).packages);

const problems = packages.flatMap(([name, { resolution = {}, deprecated }]) => [
  ...(/^sha512-/.test(resolution.integrity ?? "") ? [] : [`${name} is not pinned by a SHA-512 digest`]),
  ...(Object.keys(resolution).some((key) => key !== "integrity") ? [`${name} comes from elsewhere`] : []),
  ...(deprecated === undefined ? [] : [`${name} is given up by its makers: ${deprecated}`]),
]);
process.stdout.write(`${packages.length} packages, ${problems.length} problems\n`);
for (const problem of problems) process.stdout.write(`  ${problem}\n`);

const { status, stdout, stderr } = spawnSync("npx", ["--yes", PNPM, "audit", "--prod"], {
  cwd: root,
  encoding: "utf8",
});
const said = `${stdout}${stderr}`;
const isTold = !/ERR_PNPM_(AUDIT_BAD_RESPONSE|AUDIT_ENDPOINT_NOT_EXISTS|META_FETCH_FAIL)/.test(said);
process.stdout.write(
  isTold ? said : "note: known vulnerabilities were not looked up, the registry does not tell of them here\n",
);
process.exit(problems.length === 0 && packages.length > 0 && (status === 0 || !isTold) ? 0 : 1);
