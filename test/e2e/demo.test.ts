import { connect } from "node:net";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type AppProcess, startNode } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { until } from "../support/until.ts";
import { keyCount, keysLike } from "../support/whole-redis.ts";

const MAIN = new URL("../demo/main.ts", import.meta.url).pathname;
/** What it needs to start a Redis of its own, as a program or in a container. */
const launcher = Object.fromEntries(
  Object.entries(process.env).flatMap(([name, value]) =>
    value !== undefined && /^(TEST_REDIS_SERVER|DOCKER_)/.test(name) ? [[name, value]] : [],
  ),
);

const OUTCOMES = "{calendly:0}:outcomes";

const demos: AppProcess[] = [];
const servers: RedisServer[] = [];
afterEach(async () => {
  await Promise.all(demos.splice(0).map((demo) => demo.end("SIGKILL")));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

function startDemo(args: readonly string[], variables: Record<string, string> = {}): AppProcess {
  const demo = startNode([MAIN, ...args], { ...launcher, ...variables });
  demos.push(demo);
  return demo;
}

async function startServer(): Promise<RedisServer> {
  const server = await startRedis();
  servers.push(server);
  return server;
}

const untilSaid = (demo: AppProcess, words: string) =>
  until(`the demo says "${words}"`, () => demo.output().includes(words), { deadlineMs: 30_000 });

const isOpen = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

describe("the demo, once", () => {
  test("plays the day, shows every answer and outcome within 100 columns, and exits 0", async () => {
    const demo = startDemo(["--once"]);
    expect(await demo.exited).toEqual({ code: 0, signal: null });
    const said = demo.output();
    expect(said).toContain("What came out is what must come out.");
    for (const answer of ["200 accepted", "200 duplicate", "401 signature_mismatch", "401 timestamp_outside_window"]) {
      expect(said).toContain(answer);
    }
    expect(said.match(/booking\.(confirmed|rescheduled|canceled) .* {2}(Priya|Hana|Jonas|Ana) /g)).toHaveLength(6);
    expect(Math.max(...said.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  test("exits 1 and says what is wrong when something else comes out", async () => {
    const server = await startServer();
    const redis = await connectRedis(server.url);
    const demo = startDemo(["--once"], { TEST_REDIS_URL: server.url });
    // The first outcome comes a second time at once, long before the day is over.
    const read = await redis.xread("BLOCK", 90_000, "STREAMS", OUTCOMES, "0");
    const [[, [[, fields] = ["", []]]] = ["", []]] = read ?? [];
    await redis.xadd(OUTCOMES, "*", ...fields);
    disconnect(redis);
    expect((await demo.exited).code).toBe(1);
    expect(demo.output()).toContain("This is not what must come out:");
  });

  test("refuses a Redis that is not empty, and leaves it as it was", async () => {
    const server = await startServer();
    const redis = await connectRedis(server.url);
    await redis.set("somebody", "else's");
    const demo = startDemo(["--once"], { TEST_REDIS_URL: server.url });
    expect((await demo.exited).code).toBe(1);
    expect(demo.output()).toContain("must name an empty Redis, and this one holds 1 keys");
    expect(await keysLike(redis, "*")).toEqual(["somebody"]);
    disconnect(redis);
  });

  test("leaves a Redis that it was given as empty as it was", async () => {
    const server = await startServer();
    const demo = startDemo(["--once"], { TEST_REDIS_URL: server.url });
    expect((await demo.exited).code).toBe(0);
    const redis = await connectRedis(server.url);
    const left = await keyCount(redis);
    disconnect(redis);
    expect(left).toBe(0);
  });

  test("reads no variable that could lead it to a real installation", async () => {
    const real = {
      REDIS_URL: "redis://127.0.0.1:1",
      CALENDLY_API_BASE_URL: "http://127.0.0.1:1",
      CALENDLY_WEBHOOK_SIGNING_KEY: "real",
      CALENDLY_SHARDS: "3",
    };
    expect((await startDemo(["--once"], real).exited).code).toBe(0);
  });
});

describe("the demo, staying up", () => {
  test.each(["SIGINT", "SIGTERM"] as const)("ends at %s and leaves no process and no port behind", async (signal) => {
    const demo = startDemo([]);
    await untilSaid(demo, "Everything stays up until Ctrl-C");
    await untilSaid(demo, "XRANGE");
    const ports = [...demo.output().matchAll(/127\.0\.0\.1:(\d+)|redis-cli -p (\d+)/g)].map(([, http, redis]) =>
      Number(http ?? redis),
    );
    expect(new Set(ports).size).toBe(4);
    for (const port of ports) expect(await isOpen(port)).toBe(true);

    await demo.end(signal);
    expect(await demo.exited).toEqual({ code: 0, signal: null });
    for (const port of ports) expect(await isOpen(port)).toBe(false);
  });

  test("leaves nothing behind when it is killed", async () => {
    const demo = startDemo([]);
    await untilSaid(demo, "XRANGE");
    const ports = [...demo.output().matchAll(/127\.0\.0\.1:(\d+)|redis-cli -p (\d+)/g)].map(([, http, redis]) =>
      Number(http ?? redis),
    );
    await demo.end("SIGKILL");
    for (const port of new Set(ports))
      await until(`nothing listens on ${port}`, async () => !(await isOpen(port)), { deadlineMs: 30_000 });
  });

  test("shows what happens meanwhile", async () => {
    const demo = startDemo([]);
    await untilSaid(demo, "XRANGE");
    const [, url] = /curl (\S+)\/_simulator\n/.exec(demo.output()) ?? [];
    const body = JSON.stringify({
      eventType: "intro",
      start: "2030-01-15T15:00:00Z",
      name: "You",
      email: "you@example.org",
    });
    const answer = await fetch(`${url}/_simulator/book`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
    expect(answer.status).toBe(200);
    await untilSaid(demo, "2030-01-15 15:00");
  });
});
