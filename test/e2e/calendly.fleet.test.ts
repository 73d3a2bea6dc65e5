import { randomUUID } from "node:crypto";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, type SimulatorOptions, startSimulator } from "../simulator/simulator.ts";
import { type AppProcess, startNode } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const WORKERS = 4;
const CALLER = new URL("../support/api-caller.ts", import.meta.url).pathname;
const shards = createShards(1);

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
const running: AppProcess[] = [];

beforeEach(async () => {
  server = await startRedis({ appendfsync: "everysec" });
  redis = await connectRedis(server.url);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.end("SIGKILL")));
  disconnect(redis);
  await simulator?.close();
  await server.stop();
});

const start = async (options: SimulatorOptions) => {
  simulator = await startSimulator(options);
};

describe("four workers with a cold cache", () => {
  const JOBS = 2_000;
  const TYPES = 40;
  const HOUR_MS = 3_600_000;
  let booked = 0;

  /** Bookings of all event types in turns, each at an hour of its own; gives the bodies of their deliveries. */
  function book(count: number, slugs: readonly string[]): string[] {
    const { account } = simulator;
    const before = account.history().length;
    for (let index = 0; index < count; index++) {
      booked += 1;
      const start = new Date(Date.UTC(2030, 0, 1) + booked * HOUR_MS).toISOString();
      const eventType = slugs[index % slugs.length] ?? "";
      account.book({ name: "Priya Nair", email: "priya.nair@acme-corp.example", eventType, start });
    }
    return account.history().slice(before).map(bodyOf);
  }

  async function enqueue(bodies: readonly string[]): Promise<void> {
    const contract = { ...deliveries, identity: () => randomUUID() };
    const options = { redis, contract, deduplicationMs: 1_000, deadlineMs: 60_000 };
    const producer = createProducer(options);
    const receivedAt = new Date().toISOString();
    await Promise.all(
      bodies.map((body) => {
        const identity = randomUUID();
        return producer.enqueue(shards.first, "invitee.created", { identity, body, receivedAt, origin: "webhook" });
      }),
    );
  }

  const outcomes = async () =>
    (await readOutcomes(redis, shards.first, "0", 100_000)).filter(({ event }) => event.type === "booking.confirmed");

  test("ask for each event type once, and go on with what they know when Calendly is gone", async () => {
    await start({ seed: 41, rateLimit: 100_000 });
    const { account } = simulator;
    const slugs = Array.from({ length: TYPES }, (_, index) => `type-${index}`);
    for (const slug of slugs) account.createEventType({ name: slug, slug, minutes: 15 });
    const bodies = book(JOBS, slugs);
    simulator.setFaults({ apiLatencyMs: 300 });
    const variables = {
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      CALENDLY_CACHE_TTL: "3600",
      LOG_LEVEL: "info",
    };
    // Each comes four times, as from four subscriptions.
    await enqueue([...bodies, ...bodies, ...bodies, ...bodies]);
    running.push(...Array.from({ length: WORKERS }, () => startWorker(server.url, variables)));
    const ended = () =>
      running.flatMap(({ logs }) => logs).filter((line) => line["queue"] === "deliveries" && line.msg === "job ended");
    await until("all deliveries are done", () => ended().length === 4 * JOBS, { deadlineMs: 50_000 });
    expect(await outcomes()).toHaveLength(JOBS);

    const asked = () => simulator.requests().filter(({ path }) => path.startsWith("/event_types/")).length;
    expect(asked()).toBeGreaterThanOrEqual(TYPES);
    expect(asked()).toBeLessThanOrEqual(TYPES + 4);

    const printed = running.map(({ output }) => output());
    // Those who begin now find what was asked for before, and long out of date.
    await Promise.all(running.splice(0).map((worker) => worker.end()));
    simulator.setFaults({ api: "down", apiLatencyMs: 0 });
    const shortLived = { ...variables, CALENDLY_CACHE_TTL: "1" };
    running.push(...Array.from({ length: WORKERS }, () => startWorker(server.url, shortLived)));
    await enqueue(book(400, slugs));
    await until("the others are too", async () => (await outcomes()).length === JOBS + 400, { deadlineMs: 50_000 });
    const isResolved = (await outcomes()).map(({ event }) =>
      event.type === "booking.confirmed" ? event.data.booking.event.type?.resolved : undefined,
    );
    expect(isResolved.filter((resolved) => resolved !== true)).toEqual([]);
    expect(running.flatMap(({ logs }) => logs).filter((line) => line["result"] === "failed")).toEqual([]);

    // Of all that went in, nothing that is personal or secret came out in the log.
    printed.push(...running.map(({ output }) => output()));
    const lines = printed.join("\n");
    expect(lines.split("\n").length).toBeGreaterThan(10_000);
    for (const secret of [DEMO_TOKEN, "priya.nair", "Priya", "cancellations/", "reschedulings/", "lindqvist"]) {
      expect([secret, lines.includes(secret)]).toEqual([secret, false]);
    }
  }, 480_000);
});

describe("four processes that want more than the budget", () => {
  const LIMIT = 50;
  const WINDOW_MS = 2_000;
  const [LIVE, MONITOR] = [700, 300];

  test("never meet a 429 once they know it, let live calls go first, and survive the death of a token", async () => {
    await start({ seed: 42, rateLimit: LIMIT, speed: 60_000 / WINDOW_MS });
    simulator.setToken("primary-token");
    simulator.setToken("secondary-token");
    const from = Date.now();
    const tokens = "primary-token,secondary-token";
    const counts = [LIVE, MONITOR].map((count) => String(count / WORKERS));
    const callers = Array.from({ length: WORKERS }, () =>
      startNode([CALLER, server.url, simulator.url, tokens, ...counts], {}),
    );
    running.push(...callers);

    await until("half of it is done", () => simulator.requests().length > 500, { deadlineMs: 50_000 });
    simulator.setToken("primary-token", { state: "revoked" });
    for (const caller of callers)
      expect([caller.output(), (await caller.exited).code]).toEqual([expect.any(String), 0]);
    const tookMs = Date.now() - from;

    const requests = simulator.requests();
    const ofStatus = (status: number) => requests.filter((request) => request.status === status);
    expect(ofStatus(200)).toHaveLength(LIVE + MONITOR);
    const firstAt = requests[0]?.at ?? from;
    expect(ofStatus(429).filter(({ at }) => at - firstAt > WINDOW_MS)).toEqual([]);

    // What was under way when the token died may still bear it; nothing after the first that was told so.
    const refused = ofStatus(401);
    expect(refused.length).toBeGreaterThan(0);
    const toldAt = Math.min(...refused.map(({ at }) => at));
    const late = requests.filter(({ token, at }) => token === "primary-token" && at > toldAt + 1_000);
    expect(late).toEqual([]);
    const notices = await redis.xrange("{calendly:0}:notices", "-", "+");
    expect(notices.map(([, fields]) => fields[1])).toEqual(["credentials.token_failed_over"]);

    const waits = callers.map((caller) => JSON.parse(caller.output()));
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const liveMs = mean(waits.flatMap(({ liveWaits }) => liveWaits));
    const monitorMs = mean(waits.flatMap(({ monitorWaits }) => monitorWaits));
    expect(liveMs).toBeLessThan(monitorMs);
    const bestMs = (Math.ceil((LIVE + MONITOR + refused.length) / LIMIT) - 1) * WINDOW_MS;
    process.stdout.write(
      `budget: ${((tookMs / bestMs) * 100).toFixed(0)} % of the best possible time; a live call waited ` +
        `${liveMs.toFixed(0)} ms, a monitor's ${monitorMs.toFixed(0)} ms\n`,
    );
  }, 360_000);
});
