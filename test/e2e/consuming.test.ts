import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess } from "../support/app-process.ts";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { anOutcome, append } from "../support/outcome-stream.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

// The programs of docs/consuming-outcomes.md, run as they stand there; the library from its tarball, outside the workspace.

const ROOT = new URL("../../", import.meta.url).pathname;
const DOC = readFileSync(join(ROOT, "docs/consuming-outcomes.md"), "utf8");
const PROGRAMS = Object.fromEntries(
  [...DOC.matchAll(/<!-- program: (\w+) -->\n```js\n(.*?)```/gs)].map(([, name = "", program = ""]) => [name, program]),
);
const OPS = "ops-token-of-the-tests";
const READER = "reader-token-of-the-tests";
const shards = createShards(1);
const run = promisify(execFile);

let folder: string;
let server: RedisServer;
let redis: Redis;
let worker: AppProcess;
let baseUrl: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "consuming-"));
  server = await startRedis();
  redis = await connectRedis(server.url);
  worker = startWorker(server.url, {
    OPS_API_TOKEN: OPS,
    CALENDLY_CONSUMER_TOKENS: `docs ${READER}`,
    CALENDLY_DESTINATION_ALLOW: "localhost,127.0.0.0/8,::1/128",
  });
  baseUrl = String((await worker.untilLogged("listening"))["url"]);
  await worker.untilLogged("taking jobs");
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

afterAll(async () => {
  await worker.end();
  disconnect(redis);
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program of the document in a folder that has its packages; gives the lines that it prints. */
function start(name: string, env: Record<string, string>, dir = folder): { lines: string[]; child: ChildProcess } {
  const file = join(dir, `${name}.mjs`);
  writeFileSync(file, PROGRAMS[name] ?? "");
  const child = spawn(process.execPath, [file], { cwd: dir, env: { PATH: process.env["PATH"], ...env } });
  children.push(child);
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on("line", (line) => lines.push(line));
  return { lines, child };
}

const publish = (...events: Parameters<typeof append>[2]) => append(redis, shards, events);
const log = (subject: string) => [anOutcome(subject, 1), anOutcome(subject, 2, { type: "booking.canceled" })];

test.each(Object.keys(PROGRAMS))("the program %s has fewer than 30 lines", (name) => {
  expect(PROGRAMS[name]?.trimEnd().split("\n").length).toBeLessThan(30);
});

test("there is a program for each way", () => {
  expect(Object.keys(PROGRAMS).toSorted()).toEqual(["http", "library", "push", "sse"]);
});

describe("outside the workspace", () => {
  test("the library is installed from its tarball with ioredis, compiles and consumes", async () => {
    const packed = await run(process.execPath, [join(ROOT, "scripts/pack-consumer.mjs"), folder], { cwd: ROOT });
    const tarball = /^(\S+\.tgz): \d+ files, (\d+) kB$/m.exec(packed.stdout);
    expect(Number(tarball?.[2])).toBeLessThan(100);
    const project = mkdtempSync(join(folder, "elsewhere-"));
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "elsewhere", private: true, type: "module" }));
    await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "ioredis@6.0.0", tarball?.[1] ?? ""], {
      cwd: project,
    });
    const manifest = JSON.parse(readFileSync(join(project, "node_modules/@calendly-worker/core/package.json"), "utf8"));
    expect(Object.keys(manifest.peerDependencies)).toEqual(["ioredis"]);

    writeFileSync(
      join(project, "exhaustive.ts"),
      `import { createOutcomeConsumer, type OutcomeEvent, type OutcomeOfType } from "@calendly-worker/core/outcomes";
import { Redis } from "ioredis";
function told(outcome: OutcomeEvent): string {
  switch (outcome.type) {
    case "booking.confirmed": case "booking.rescheduled": case "booking.canceled": case "booking.no_show":
    case "booking.no_show_cleared": case "booking.updated": return outcome.data.booking.start;
    case "booking.conflict_detected": case "booking.conflict_resolved": return outcome.data.conflict.host;
    case "booking.erased": return outcome.data.booking.id;
    case "booking.expectation_expired": return outcome.data.expectation.reference;
    default: { const never: never = outcome; return never; }
  }
}
export const moved = (outcome: OutcomeOfType<"booking.rescheduled">) => outcome.data.previous?.start;
// @ts-expect-error: an erased booking has no start
export const wrong = (outcome: OutcomeOfType<"booking.erased">) => outcome.data.booking.start;
export const consumer = createOutcomeConsumer({ redis: new Redis(), group: "x", onOutcome: async (outcome) => void told(outcome) });
`,
    );
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    const flags = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--skipLibCheck",
      "--types",
      "",
    ];
    await run(tsc, [...flags, "exhaustive.ts"], { cwd: project });

    await publish(...log("library"));
    const { lines, child } = start("library", { REDIS_URL: server.url }, project);
    await until("both are handled", () => lines.filter((line) => line.startsWith("library.")).length === 2, {
      deadlineMs: 20_000,
    });
    expect(lines.filter((line) => line.startsWith("library."))).toEqual([
      expect.stringMatching(/^library\.1: at \d{4}-/),
      "library.2: off",
    ]);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    const groups = JSON.parse((await runCommand(["outcomes", "groups", "--json"], { REDIS_URL: server.url })).stdout);
    expect(groups).toContainEqual(expect.objectContaining({ group: "crm", unread: 0, pending: 0, oldestAt: null }));
  }, 360_000);
});

describe("with packages of the registry", () => {
  beforeAll(() => symlinkSync(join(ROOT, "test/node_modules"), join(folder, "node_modules")));

  test("pages are read by HTTP, and after a restart the next ones alone", async () => {
    await publish(...log("http"));
    const env = { API_URL: baseUrl, API_TOKEN: READER, CURSOR_FILE: join(folder, "cursor") };
    const first = start("http", env);
    await until("both are read", () => first.lines.includes("http.2: booking.canceled"));
    const isKept = () => {
      try {
        return readFileSync(env.CURSOR_FILE, "utf8").length > 0;
      } catch {
        return false;
      }
    };
    await until("the cursor is kept", isKept);
    first.child.kill("SIGKILL");
    await publish(anOutcome("http", 3));
    const second = start("http", env);
    await until("the next one is read", () => second.lines.length > 0);
    expect(second.lines).toEqual(["http.3: booking.confirmed"]);
  });

  test("server-sent events come as they are published", async () => {
    const { lines } = start("sse", { API_URL: baseUrl, API_TOKEN: READER });
    await until("it listens", () => lines.includes("listening"));
    await publish(...log("sse"));
    await until("both have come", () => lines.includes("sse.2: booking.canceled"));
    expect(lines.filter((line) => line.startsWith("sse."))).toEqual([
      "sse.1: booking.confirmed",
      "sse.2: booking.canceled",
    ]);
  });

  test("pushes are verified and handled once", async () => {
    const port = await freePort();
    const add = [
      "destinations",
      "add",
      `http://localhost:${port}/`,
      "--types",
      "booking.confirmed",
      "--ordered",
      "--json",
    ];
    const settings = { REDIS_URL: server.url, CALENDLY_DESTINATION_ALLOW: "localhost" };
    const added = JSON.parse((await runCommand(add, settings)).stdout);
    const { lines } = start("push", { PORT: String(port), WEBHOOK_SECRET: added.secret });
    await until("it listens", () => lines.includes("listening"));
    await publish(...log("push"));
    await until("it has come", () => lines.includes("push.1: booking.confirmed"));
    expect((await fetch(`http://localhost:${port}/`, { method: "POST", body: "{}" })).status).toBe(401);
    expect(lines.filter((line) => line.startsWith("push."))).toEqual(["push.1: booking.confirmed"]);
    const shown = await createApiClient(baseUrl, OPS)("GET", `/api/destinations/${added.id}`);
    expect(shown.body).toMatchObject({ ordered: true, types: ["booking.confirmed"], deadLetters: 0 });
  });
});
