// Packs the consumer library, and what it needs of the workspace, for services elsewhere: a tarball that is installed with
// npm and has ioredis as its only peer. It is imported under the same name as in the workspace.
//
//   pnpm pack:consumer [folder]     writes calendly-worker-core-<version>.tgz there; by default to .local
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const core = join(root, "packages/core");
const dist = join(core, "dist");
const into = resolve(process.argv[2] ?? join(root, ".local"));
const entry = "outcomes/consumer";
if (!existsSync(join(dist, `${entry}.js`))) fail("there is nothing built yet: run `pnpm build` first");

const outside = new Set();
const files = closureOf(entry);
const staging = join(root, ".local", "consumer-package");
rmSync(staging, { recursive: true, force: true });
for (const file of files) {
  mkdirSync(dirname(join(staging, "dist", file)), { recursive: true });
  cpSync(join(dist, file), join(staging, "dist", file));
}
const { version, license, dependencies } = JSON.parse(readFileSync(join(core, "package.json"), "utf8"));
const { ioredis, ...others } = Object.fromEntries([...outside].map((name) => [name, dependencies[name]]));
const manifest = {
  name: "@calendly-worker/core",
  version,
  description: "Consumes the booking outcomes of calendly-worker from Redis: at least once, in order per booking.",
  license,
  type: "module",
  engines: { node: ">=22" },
  exports: { "./outcomes": { types: `./dist/${entry}.d.ts`, default: `./dist/${entry}.js` } },
  dependencies: others,
  peerDependencies: { ioredis: `>=${ioredis.split(".")[0]}` },
};
writeFileSync(join(staging, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
cpSync(join(root, "docs/consuming-outcomes.md"), join(staging, "README.md"));
cpSync(join(root, "docs/outcome.schema.json"), join(staging, "outcome.schema.json"));

mkdirSync(into, { recursive: true });
const packed = spawnSync("npm", ["pack", "--json", "--pack-destination", into], { cwd: staging, encoding: "utf8" });
if (packed.status !== 0) fail(packed.stderr);
const [{ filename, size, entryCount }] = JSON.parse(packed.stdout);
process.stdout.write(`${join(into, filename)}: ${entryCount} files, ${Math.ceil(size / 1_024)} kB\n`);

/** The module, its types and its scripts, and all that they import of the workspace. */
function closureOf(first) {
  const found = new Set();
  const open = [`${first}.js`, `${first}.d.ts`];
  for (const file of open) {
    if (found.has(file)) continue;
    found.add(file);
    const text = readFileSync(join(dist, file), "utf8");
    if (file.endsWith(".lua")) continue;
    for (const [, name] of text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)) {
      if (!name.startsWith(".")) {
        if (!name.startsWith("node:")) outsideOf(name);
        continue;
      }
      // Types name the sources; what is built lies under the same name.
      const module = join(dirname(file), name).replace(/\.(ts|js)$/, "");
      open.push(file.endsWith(".d.ts") ? `${module}.d.ts` : `${module}.js`);
    }
    if (file.endsWith(".js")) {
      for (const [, script] of text.matchAll(/defineScript\(\{\s*name: "([^"]+)"/g))
        open.push(`store/scripts/${script}.lua`);
    }
  }
  return [...found];
}

function outsideOf(name) {
  const parts = name.split("/");
  outside.add(name.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0]);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
