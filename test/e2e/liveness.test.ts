import { createServer } from "node:http";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createHeartbeats } from "@calendly-worker/core/queues/heartbeats";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { METRICS, type MetricSpec } from "@calendly-worker/core/telemetry/metrics";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { createApiClient } from "../support/api-client.ts";
import { type AppProcess, startApp, type Variables } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { testWhere } from "../support/limits.ts";
import { listenOnLoopback } from "../support/listen.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import {
  METRICS_TOKEN,
  openOutcomeLog,
  SHORT_LOCKS,
  scrape,
  startIngest,
  startWorker,
  WEBHOOK_PATH,
} from "../support/stack.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { callEach, fillTo } from "../support/whole-redis.ts";

const DEAF_AFTER_MS = 3_000;

let server: RedisServer;
let proxy: TcpProxy;
const running: AppProcess[] = [];
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  server = await startRedis();
  proxy = await startTcpProxy(server.port);
});

afterEach(async () => {
  await server.thaw();
  await Promise.all(running.splice(0).map((app) => app.end()));
  for (const close of closing.splice(0)) close();
  await proxy.close();
  await server.stop();
});

/** Both apps under their supervisor. */
async function startAll(redisUrl = server.url, variables: Variables = {}) {
  const ports = { ingest: await freePort(), metrics: await freePort(), worker: await freePort() };
  const app = startApp("supervisor", {
    REDIS_URL: redisUrl,
    CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
    CALENDLY_API_TOKEN: "test-token-not-a-secret",
    CALENDLY_API_BASE_URL: "http://127.0.0.1:9",
    CALENDLY_PUBLISH_FROM: "1970-01-01T00:00:00Z",
    INGEST_HOST: "127.0.0.1",
    INGEST_PORT: String(ports.ingest),
    INGEST_METRICS_PORT: String(ports.metrics),
    WORKER_PORT: String(ports.worker),
    METRICS_TOKEN,
    WORKER_HEARTBEAT_INTERVAL: "300",
    WORKER_DEAF_AFTER: String(DEAF_AFTER_MS),
    ...SHORT_LOCKS,
    SHUTDOWN_DEADLINE: "2",
    ...variables,
  });
  running.push(app);
  await app.untilLogged("taking jobs");
  await app.untilLogged("ready for deliveries");
  return {
    app,
    webhookUrl: `http://127.0.0.1:${ports.ingest}${WEBHOOK_PATH}`,
    workerUrl: `http://127.0.0.1:${ports.worker}`,
  };
}

const isReady = async (url: string) => (await fetch(`${url}/readyz`)).status === 200;
const said = (app: AppProcess, msg: string) => app.logs.filter((line) => line.msg === msg);

/** Sends a delivery until it is accepted, as Calendly does, and waits for its outcome. */
async function worksOn(webhookUrl: string): Promise<void> {
  const redis = await connectRedis(server.url);
  const outcomes = await openOutcomeLog(redis);
  const person = newInvitee();
  await until("the ingest accepts it", async () => (await deliver(webhookUrl, createdBody(person))).status === 200, {
    deadlineMs: 30_000,
  });
  await outcomes.untilThere([`${person.id}.confirmed`], 30_000);
  disconnect(redis);
}

describe("a worker", () => {
  testWhere("a proxy", "whose connections are half open is deaf, ends, and is replaced, and work goes on", async () => {
    const { app, webhookUrl, workerUrl } = await startAll(`redis://127.0.0.1:${proxy.port}`);
    await worksOn(webhookUrl);
    proxy.swallow();
    const deaf = await app.untilLogged("this worker is deaf: jobs wait and it begins none", 30_000);
    expect(deaf).toMatchObject({
      level: "fatal",
      event: "this_worker_is_deaf_jobs_wait_and_it_begins_none",
      deafAfterMs: 3_000,
    });
    const ended = await app.untilLogged("ended unasked, starting it again", 30_000);
    expect(ended).toMatchObject({ program: "worker", code: 1 });
    await until("another one takes jobs", () => said(app, "taking jobs").length === 2, { deadlineMs: 30_000 });
    await worksOn(webhookUrl);
    expect(await scrape(workerUrl)).toMatch(/^calendly_deaf_workers_total 1$/m);
  });

  testWhere("a proxy", "that hears nothing of what is to be pushed is deaf as well", async () => {
    const OPS = "ops-token-of-the-tests";
    const { app, webhookUrl, workerUrl } = await startAll(`redis://127.0.0.1:${proxy.port}`, {
      OPS_API_TOKEN: OPS,
      CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8",
    });
    const got: string[] = [];
    const receiver = createServer((req, res) => {
      got.push(String(req.headers["webhook-id"]));
      res.writeHead(204).end();
    });
    closing.push(() => receiver.close());
    const url = await listenOnLoopback(receiver);
    const { body } = await createApiClient(workerUrl, OPS)("POST", "/api/destinations", { url });
    await worksOn(webhookUrl);
    await until("it is pushed", () => got.length === 1);

    proxy.swallow(`push-${body.id}:marker`);
    await worksOn(webhookUrl);
    const deaf = await app.untilLogged("this worker is deaf: jobs wait and it begins none", 30_000);
    expect(deaf).toMatchObject({ queue: `push-${body.id}` });
    await until("the next worker pushes it", () => got.length === 2, { deadlineMs: 30_000 });
  });

  test("whose Redis is frozen is not ready, and neither deaf nor replaced; then work goes on", async () => {
    const { app, webhookUrl, workerUrl } = await startAll();
    await worksOn(webhookUrl);
    const worker = said(app, "started").find(({ program }) => program === "worker");
    await server.freeze();
    await until("it is not ready", async () => !(await isReady(workerUrl)));
    // Until it would have been taken for deaf several times over, by its own count of time.
    const frozenAt = performance.now();
    await until("that time is over", () => performance.now() - frozenAt > 3 * DEAF_AFTER_MS, { deadlineMs: 20_000 });
    await server.thaw();
    await worksOn(webhookUrl);
    await until("it is ready again", () => isReady(workerUrl));
    expect(said(app, "this worker is deaf: jobs wait and it begins none")).toEqual([]);
    expect(said(app, "ended unasked, starting it again")).toEqual([]);
    expect(said(app, "started").find(({ program }) => program === "worker")?.["pid"]).toBe(worker?.["pid"]);
  });

  test("is not deaf while its queue is paused", async () => {
    const { app, webhookUrl, workerUrl } = await startAll();
    const redis = await connectRedis(server.url);
    // As `calendly queue pause` does.
    await redis.hset("{calendly:0}:deliveries:meta", "paused", "1");
    const person = newInvitee();
    expect((await deliver(webhookUrl, createdBody(person))).status).toBe(200);
    const pausedAt = performance.now();
    await until("that time is over", () => performance.now() - pausedAt > 2 * DEAF_AFTER_MS, { deadlineMs: 20_000 });
    expect(await scrape(workerUrl)).toMatch(/^calendly_queue_paused\{queue="deliveries"\} 1$/m);
    expect(said(app, "this worker is deaf: jobs wait and it begins none")).toEqual([]);
    disconnect(redis);
  });
});

test("a heartbeat stands before all that waits", async () => {
  const ingest = await startIngest(server.url);
  running.push(ingest);
  await ingest.untilLogged("ready for deliveries");
  for (let count = 0; count < 20; count++) await deliver(ingest.webhookUrl, createdBody(newInvitee()));
  const redis = await connectRedis(server.url);
  const queues = [{ contract: deliveries, shard: createShards(1).first }];
  const heartbeats = createHeartbeats({ redis, queues, everyMs: 30_000, log: silent });
  await heartbeats.beat();
  // What is taken next is the last one.
  expect(await redis.lrange("{calendly:0}:deliveries:wait", -1, -1)).toEqual(["heartbeat"]);
  expect(await redis.llen("{calendly:0}:deliveries:wait")).toBe(21);
  await heartbeats.close();
  disconnect(redis);
});

test("heartbeats go through every queue, and not once more for every worker", async () => {
  const variables = { WORKER_HEARTBEAT_INTERVAL: "500", WORKER_CONCURRENCY: "1", CALENDLY_LATE_FETCHES: "1" };
  const workers = [startWorker(server.url, variables), startWorker(server.url, variables)];
  running.push(...workers);
  for (const worker of workers) await worker.untilLogged("taking jobs");
  const url = (await workers[0]?.untilLogged("listening"))?.["url"];
  const at = async (queue: string) =>
    Number(
      new RegExp(`^calendly_heartbeat_timestamp_seconds\\{queue="${queue}"\\} (.+)$`, "m").exec(
        await scrape(url),
      )?.[1] ?? 0,
    );
  const redis = await connectRedis(server.url);
  for (const queue of [
    "deliveries",
    "late-deliveries",
    "missing-halves",
    "conference-links",
    "sweeps",
    "maintenance",
  ]) {
    const first = await until(`a heartbeat has gone through ${queue}`, () => at(queue));
    await until(`another one has gone through ${queue}`, async () => (await at(queue)) > first);
  }
  // Two workers have timers, and there is one heartbeat in their time; none counts against the rate limit.
  const beats = new Set<number>();
  const since = performance.now();
  await until("both would have put in eight", async () => {
    beats.add(await at("deliveries"));
    return performance.now() - since > 4_000;
  });
  expect(beats.size).toBeGreaterThanOrEqual(4);
  expect(beats.size).toBeLessThanOrEqual(10);
  expect(await redis.exists("{calendly:0}:late-deliveries:limiter")).toBe(0);
  disconnect(redis);
});

test("with hardly any memory left in Redis neither app is ready, and both are when there is some again", async () => {
  const redis = await connectRedis(server.url);
  await redis.set("junk", "x".repeat(60_000_000));
  const ingest = await startIngest(server.url);
  const worker = startWorker(server.url);
  running.push(ingest, worker);
  await Promise.all([worker.untilLogged("taking jobs"), ingest.untilLogged("ready for deliveries")]);
  const faces = [ingest.baseUrl, String((await worker.untilLogged("listening"))["url"])];
  const ready = async () => (await Promise.all(faces.map(isReady))).join();
  await until("both are ready", async () => (await ready()) === "true,true");
  await fillTo(redis, 0.985);
  await until("neither is ready", async () => (await ready()) === "false,false");
  expect(worker.logs).toContainEqual(expect.objectContaining({ event: "redis_has_no_memory_to_spare" }));
  // Readiness keeps new work away; what Calendly sends all the same is taken as long as it fits.
  expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
  await callEach(redis, "CONFIG", "SET", "maxmemory", "0");
  await until("both are ready again", async () => (await ready()) === "true,true");
  disconnect(redis);
});

test("three workers tell the same of the fleet", async () => {
  const redis = await connectRedis(server.url);
  const workers = [1, 2, 3].map(() => startWorker(server.url, { WORKER_HEARTBEAT_INTERVAL: "120000" }));
  running.push(...workers);
  const urls = await Promise.all(
    workers.map(async (worker) => {
      await worker.untilLogged("taking jobs");
      return (await worker.untilLogged("listening"))["url"];
    }),
  );
  const fleet = Object.values<MetricSpec>(METRICS).filter(({ by, name }) => by === "fleet" && !CHANGING.test(name));
  const told = async (url: unknown) => {
    const lines = (await scrape(url)).split("\n");
    return lines.filter((line) => fleet.some(({ name }) => line.startsWith(`${name} `) || line.startsWith(`${name}{`)));
  };
  const answers = await until("the three agree", async () => {
    const all = await Promise.all(urls.map(told));
    return (
      all.every((lines) => lines.join() === all[0]?.join()) &&
      all[0]?.includes('calendly_instances{kind="worker"} 3') &&
      all
    );
  });
  expect(answers[0]?.length).toBeGreaterThan(30);
  disconnect(redis);
});

/** Ages, and what their asking changes. */
const CHANGING = /_seconds$|memory_used|clients|queue_jobs/;
