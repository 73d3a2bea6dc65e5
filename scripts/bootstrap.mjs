// First step of `npm run demo` and `npm test`: from a fresh clone to a built workspace with a Redis to hand. Runs on any
// Node from 20 on and needs no package. Each step is left out when nothing has changed since it was last done.
//
//   node scripts/bootstrap.mjs demo|test [arguments for it]
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { fetchKubectl, isNewEnough } from "./kubectl.mjs";
import { PNPM } from "./pnpm.mjs";

const NODE_VERSION = "v24.";
const root = fileURLToPath(new URL("..", import.meta.url));
const projects = ["packages/core", "apps/ingest", "apps/worker", "apps/supervisor", "apps/cli", "test"];
const bin = join(root, "node_modules", ".bin");
const tools = join(root, ".local", "tools");

/** What follows the bootstrap, run on the Node of the workspace. */
const commands = {
  demo: ["test/demo/main.ts"],
  test: ["--experimental-vm-modules", "node_modules/jest/bin/jest.js"],
};

const [task, ...rest] = process.argv.slice(2);
if (!(task in commands)) fail(`usage: node scripts/bootstrap.mjs ${Object.keys(commands).join("|")} [arguments]`);
if (Number.parseInt(process.versions.node, 10) < 20) {
  fail(`Node 20 or newer is needed, this is ${process.version}. Everything else is installed from here.`);
}

const startedAt = Date.now();
await step("packages", installPackages);
await step("build", build);
const redis = await step("redis", findRedis);
const lacking = task === "test" ? (await step("tools", findTools)).lacking : [];
say(`ready after ${seconds(startedAt)}\n`);
run();

/** Installs the pinned packages with a pinned pnpm, exactly as the lockfile says. */
function installPackages() {
  const inputs = [
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "package.json",
    ...projects.map((dir) => `${dir}/package.json`),
  ];
  const stamp = join(root, "node_modules", ".bootstrap");
  const digest = digestOf(inputs);
  if (isStamped(stamp, digest) && nodeVersion().startsWith(NODE_VERSION)) return `unchanged, Node ${nodeVersion()}`;

  say(`  packages  installing with ${PNPM} …`);
  const install = ["--yes", PNPM, "install", "--frozen-lockfile"];
  must("npx", install, "The packages could not be installed. Is the npm registry reachable?");
  // A failed installation of Node leaves a dangling link behind, and the old Node would be used without a word.
  if (!nodeVersion().startsWith(NODE_VERSION)) {
    rmSync(join(root, "node_modules", "node"), { recursive: true, force: true });
    fail(`Node 24 was not installed (found ${nodeVersion() || "none"}). Delete node_modules and try again.`);
  }
  writeFileSync(stamp, digest);
  return `installed, Node ${nodeVersion()}`;
}

function build() {
  const inputs = [
    "tsconfig.base.json",
    "scripts/build.mjs",
    "pnpm-lock.yaml",
    ...projects.filter((dir) => dir !== "test").flatMap((dir) => [`${dir}/tsconfig.json`, ...filesIn(`${dir}/src`)]),
  ];
  const stamp = join(root, ".local", "build-stamp");
  const digest = digestOf(inputs);
  const outputs = ["packages/core", "apps/ingest", "apps/worker", "apps/supervisor", "apps/cli"].map((dir) =>
    join(root, dir, "dist"),
  );
  if (isStamped(stamp, digest) && outputs.every((dir) => existsSync(dir))) return "unchanged";
  must(join(bin, "node"), ["scripts/build.mjs"], "The build failed.");
  mkdirSync(join(root, ".local"), { recursive: true });
  writeFileSync(stamp, digest);
  return "built";
}

/** A way to start private Redis servers: a program on the PATH, a Docker engine, or the distribution's package. */
async function findRedis() {
  if (task === "demo" && process.env.TEST_REDIS_URL) return { says: "the one that TEST_REDIS_URL names", server: "" };
  let server = redisOnPath();
  if (server) return { says: server, server };
  if (spawnSync("docker", ["info"], { stdio: "ignore", timeout: 10_000 }).status === 0) {
    return { says: "in containers, by the Docker engine", server: "docker" };
  }
  if (isDebian() && process.getuid?.() === 0 && (await mayInstall("redis-server"))) {
    say("  redis     installing Debian's package redis-server …");
    const advice = "redis-server could not be installed. Install Redis 7 or Valkey 8 by hand and try again.";
    must("apt-get", ["-qq", "update"], advice);
    must("apt-get", ["-qq", "install", "-y", "--no-install-recommends", "redis-server"], advice, {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    });
    server = redisOnPath();
    if (server) return { says: `${server}, just installed`, server };
  }
  return fail(
    [
      "Redis is needed, and there is none. Any one of these helps:",
      "  - install redis-server (7.0 or newer) or valkey-server (8 or newer), so that it is on the PATH;",
      "  - start Docker, so that `docker info` answers;",
      "  - on Debian or Ubuntu run this as root, and the distribution's package is installed.",
      ...(task === "demo" ? ["  - set TEST_REDIS_URL to an empty Redis that may be written to."] : []),
    ].join("\n"),
  );
}

/**
 * Prometheus with its promtool, Chromium, faketime and kubectl, which some tests need. Where they are not and cannot be
 * installed, those tests are skipped by name, but not where REQUIRE_TOOLS is set.
 */
async function findTools() {
  const packages = {
    prometheus: ["prometheus", "promtool"],
    chromium: ["chromium", "chromium-browser", "google-chrome"],
    faketime: ["faketime"],
  };
  const isThere = (name) =>
    name === "prometheus" ? packages.prometheus.every((program) => onPath([program])) : onPath(packages[name]);
  const missing = Object.keys(packages).filter((name) => !isThere(name));
  if (missing.length > 0 && isDebian() && process.getuid?.() === 0 && (await mayInstall(missing.join(" and ")))) {
    say(`  tools     installing Debian's ${missing.join(" and ")} …`);
    const advice = `${missing.join(" and ")} could not be installed. Install them by hand and try again.`;
    const options = { env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
    must("apt-get", ["-qq", "update"], advice);
    must("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...missing], advice, options);
    // Debian starts it as a service where there is an init to do so; only the program is wanted.
    if (missing.includes("prometheus")) spawnSync("systemctl", ["disable", "--now", "prometheus"], { stdio: "ignore" });
  }
  const lacking = Object.keys(packages).filter((name) => !isThere(name));
  if (!findKubectl()) lacking.push("kubectl");
  if (lacking.length > 0 && process.env.REQUIRE_TOOLS) fail(`${lacking.join(" and ")} must be on the PATH.`);
  const says =
    lacking.length === 0
      ? "prometheus, promtool, chromium, faketime, kubectl"
      : `without ${lacking.join(" and ")}: their tests are skipped`;
  return { says, lacking };
}

/** On the PATH, or in a directory of the project's own, which then comes first on it. */
function findKubectl() {
  const found = [onPath(["kubectl"]), join(tools, "kubectl")].find(
    (file) => file && existsSync(file) && isNewEnough(file),
  );
  if (found) return true;
  say("  tools     fetching kubectl …");
  try {
    fetchKubectl(tools);
    return true;
  } catch (error) {
    say(`  tools     no kubectl: ${error.message}`);
    return false;
  }
}

function redisOnPath() {
  return onPath(["redis-server", "valkey-server"]);
}

/** The first of the programs that the PATH leads to. */
function onPath(names) {
  const dirs = (process.env.PATH ?? "").split(delimiter);
  return names.flatMap((name) => dirs.map((dir) => join(dir, name))).find((file) => existsSync(file));
}

function isDebian() {
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release);
}

async function mayInstall(what) {
  if (!process.stdin.isTTY || process.env.CI) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`  ${what} not found. Install with apt-get now? [Y/n] `);
  terminal.close();
  return !/^n/i.test(answer.trim());
}

/** Hands over to the task. A terminal sends Ctrl-C to it as well; it decides when it is done. */
function run() {
  const child = spawn(join(bin, "node"), ["--disable-warning=ExperimentalWarning", ...commands[task], ...rest], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: [bin, ...(existsSync(tools) ? [tools] : []), process.env.PATH ?? ""].join(delimiter),
      TEST_REDIS_SERVER: redis.server,
      // Hundreds of processes of the same code are started by the tests.
      NODE_COMPILE_CACHE: join(root, ".local", "compile-cache"),
      TEST_LACKS: lacking.join(),
    },
  });
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)));
}

async function step(name, work) {
  const from = Date.now();
  const result = await work();
  say(`  ${name.padEnd(9)} ${typeof result === "string" ? result : result.says} (${seconds(from)})`);
  return result;
}

function must(program, args, advice, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: "utf8", ...options });
  if (status === 0) return;
  fail([stdout, stderr, error?.message, advice].filter(Boolean).join("\n"));
}

function nodeVersion() {
  const { stdout } = spawnSync(join(bin, "node"), ["--version"], { encoding: "utf8" });
  return (stdout ?? "").trim();
}

function filesIn(dir) {
  return readdirSync(join(root, dir), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith(".test.ts"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length))
    .sort();
}

function digestOf(files) {
  const hash = createHash("sha256");
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update("\0");
  return hash.digest("hex");
}

function isStamped(stamp, digest) {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === digest;
}

function seconds(from) {
  return `${((Date.now() - from) / 1_000).toFixed(1)} s`;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
