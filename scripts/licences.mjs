// Lists the packages that are shipped, by licence, and fails where one has a licence that nobody has agreed to. Optional
// packages are left out, as they are of the images.
//
//   pnpm licences
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const SHIPPED = ["packages/core", "apps/ingest", "apps/worker", "apps/supervisor", "apps/cli"];

/** Each lets one use and pass on the package, changed or not, for no more than naming its authors. */
const AGREED = new Set(["MIT", "ISC", "Apache-2.0", "BSD-3-Clause", "0BSD", "BlueOak-1.0.0", "Unlicense"]);

const manifest = (dir) => JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));

/** Where a package finds another one, as Node looks for it. */
function find(name, from) {
  for (let dir = from; ; dir = dirname(dir)) {
    const candidate = join(dir, "node_modules", name);
    if (existsSync(candidate)) return realpathSync(candidate);
    if (dir === dirname(dir)) throw new Error(`${name}, which ${from} needs, is not installed`);
  }
}

/** The directories of all packages that these need. */
function shipped(dirs) {
  const found = new Set();
  const open = dirs.map((dir) => join(root, dir));
  for (let dir = open.pop(); dir !== undefined; dir = open.pop()) {
    const { dependencies = {}, optionalDependencies = {} } = manifest(dir);
    for (const name of Object.keys(dependencies).filter((name) => !(name in optionalDependencies))) {
      const needed = find(name, dir);
      if (found.has(needed)) continue;
      found.add(needed);
      open.push(needed);
    }
  }
  return [...found].map(manifest).filter(({ name }) => !name.startsWith("@calendly-worker/"));
}

/** `(A OR B)` is fine where one of them is. */
const isAgreed = (licence) =>
  licence
    .replace(/[()]/g, "")
    .split(" OR ")
    .some((one) => AGREED.has(one));

const byLicence = Map.groupBy(shipped(SHIPPED), ({ license }) => String(license ?? "none"));
let refused = 0;
for (const [licence, packages] of [...byLicence].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
  const mark = isAgreed(licence) ? "" : "   NOT AGREED TO";
  if (mark) refused += packages.length;
  const names = packages.map(({ name, version }) => `${name}@${version}`).toSorted();
  process.stdout.write(`${licence} (${packages.length})${mark}\n  ${names.join(", ")}\n`);
}
process.exit(refused === 0 && byLicence.size > 0 ? 0 : 1);
