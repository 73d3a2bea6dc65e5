// Compiles the workspace and puts the Lua scripts beside the compiled code that loads them.
import { spawnSync } from "node:child_process";
import { cpSync, globSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const projects = ["packages/core", "apps/ingest", "apps/worker", "apps/supervisor", "apps/cli"];

const tsc = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b", ...projects], {
  cwd: root,
  stdio: "inherit",
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);

const core = join(root, "packages/core");
for (const file of globSync("**/*.lua", { cwd: join(core, "src") })) {
  cpSync(join(core, "src", file), join(core, "dist", file));
}
