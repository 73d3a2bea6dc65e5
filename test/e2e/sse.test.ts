import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, outcomeStreamKey } from "@calendly-worker/core/redis/keys";
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { createRandom } from "../simulator/random.ts";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { testWhere } from "../support/limits.ts";
import { anOutcome, append } from "../support/outcome-stream.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const OPS = "ops-token-of-the-tests";
const shards = createShards(3);
let server: RedisServer;
let redis: Redis;
let worker: AppProcess;
let baseUrl: string;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  worker = startWorker(server.url, { OPS_API_TOKEN: OPS, CALENDLY_SHARDS: "3" });
  baseUrl = String((await worker.untilLogged("listening"))["url"]);
  await worker.untilLogged("taking jobs");
});
beforeEach(async () => {
  await Promise.all(shards.all.map((shard) => redis.del(outcomeStreamKey(shard))));
});
afterAll(async () => {
  await worker.end();
  disconnect(redis);
  await server.stop();
});

async function open(lastEventId?: string, query = ""): Promise<IncomingMessage> {
  const headers = {
    authorization: `Bearer ${OPS}`,
    ...(lastEventId !== undefined && { "last-event-id": lastEventId }),
  };
  const request = get(`${baseUrl}/api/outcomes/stream${query}`, { headers });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  // A test cuts it off on purpose.
  response.on("error", () => {});
  return response;
}

/** Takes up to `most` events, then hangs up. Gives what it got and the last id, as a browser remembers it. */
async function take(most: number, lastEventId: string | undefined, query = "") {
  const response = await open(lastEventId, query);
  expect(response.statusCode).toBe(200);
  const got: string[] = [];
  let last = lastEventId;
  let rest = "";
  try {
    for await (const chunk of response.setEncoding("utf8")) {
      const blocks = `${rest}${chunk}`.split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s) as [string, string]));
        last = fields.get("id") ?? last;
        const data = fields.get("data");
        if (data !== undefined && fields.get("event") !== "cursor") got.push(JSON.parse(data).id);
        if (got.length >= most) return { got, last };
      }
    }
  } finally {
    response.destroy();
  }
  return { got, last };
}

/** What each booking's outcomes are, in order. */
const byBooking = (ids: readonly string[]) =>
  Object.fromEntries(
    Object.entries(Object.groupBy(ids, (id) => id.split(".")[0] ?? "")).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );

test("clients that hang up at random and go on where they were see the exact log, by stream and by cursor", async () => {
  const seed = 7;
  const random = createRandom(seed);
  const first = await take(0, undefined, "?after=");
  const events = Array.from({ length: 900 }, (_, index) => anOutcome(`s${index % 90}`, Math.floor(index / 90) + 1));
  const expected = events.map(({ id }) => id);
  const publishing = (async () => {
    for (let from = 0; from < events.length; from += 30) {
      await append(redis, shards, events.slice(from, from + 30));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();

  const streamed: string[] = [];
  let last = first.last;
  let connections = 0;
  while (streamed.length < expected.length) {
    const taken = await take(Math.min(random.whole(1, 60), expected.length - streamed.length), last);
    streamed.push(...taken.got);
    last = taken.last;
    connections += 1;
  }
  await publishing;
  expect(streamed).toHaveLength(expected.length);
  expect(byBooking(streamed)).toEqual(byBooking(expected));
  expect(connections).toBeGreaterThan(10);

  const api = createApiClient(baseUrl, OPS);
  const paged: string[] = [];
  let after = first.last;
  for (let hasMore = true; hasMore; ) {
    const { body } = await api("GET", `/api/outcomes?limit=${random.whole(1, 80)}&after=${after}`);
    // Now and then an answer is lost on its way: the client asks again with the cursor that it has.
    if (random.next() < 0.2) continue;
    paged.push(...body.outcomes.map(({ id }: { id: string }) => id));
    ({ next: after, hasMore } = body);
  }
  expect(byBooking(paged)).toEqual(byBooking(expected));
  expect(new Set(paged).size).toBe(expected.length);
});

test("a small page of few among many is read in large steps, with none left out and none twice", async () => {
  const many = (name: string) => Array.from({ length: 750 }, (_, index) => anOutcome(`${name}${index}`));
  for (const name of ["a", "b"]) {
    await append(redis, shards, many(name));
    await append(redis, shards, [anOutcome(name, 1, { type: "booking.canceled" })]);
  }
  const api = createApiClient(baseUrl, OPS);
  const readings = async () => Number(/cmdstat_xread:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
  const before = await readings();
  const found: string[] = [];
  let requests = 0;
  let after = "";
  for (let hasMore = true; hasMore; requests++) {
    const { status, body } = await api("GET", `/api/outcomes?type=booking.canceled&limit=1${after}`);
    expect(status).toBe(200);
    found.push(...body.outcomes.map(({ id }: { id: string }) => id));
    after = `&after=${body.next}`;
    hasMore = body.hasMore;
  }
  expect(found).toEqual(["a.1", "b.1"]);
  expect(requests).toBeLessThanOrEqual(3);
  // One of each shard a step.
  expect((await readings()) - before).toBeLessThan(15 * shards.all.length);
});

testWhere("a proxy", "while Redis is slow, who asks for few among many gets on all the same", async () => {
  const proxy = await startTcpProxy(server.port);
  const slow = startWorker(`redis://127.0.0.1:${proxy.port}`, { OPS_API_TOKEN: OPS, CALENDLY_SHARDS: "3" });
  try {
    const api = createApiClient(String((await slow.untilLogged("listening"))["url"]), OPS);
    await slow.untilLogged("taking jobs");
    const many = Array.from({ length: 1_900 }, (_, index) => anOutcome(`n${index}`));
    await append(redis, shards, many);
    await append(redis, shards, [anOutcome("last", 1, { type: "booking.canceled" })]);
    proxy.delay(400);
    const found: string[] = [];
    let after = "";
    for (let hasMore = true; hasMore; ) {
      const { status, body } = await api("GET", `/api/outcomes?type=booking.canceled&limit=1${after}`);
      expect(status).toBe(200);
      found.push(...body.outcomes.map(({ id }: { id: string }) => id));
      after = `&after=${body.next}`;
      hasMore = body.hasMore;
    }
    expect(found).toEqual(["last.1"]);
  } finally {
    await slow.end("SIGKILL");
    await proxy.close();
  }
});

test("a client that was cut off before anything came that it wanted goes on from where it began", async () => {
  const begun = await take(0, undefined, "?type=booking.canceled");
  expect(begun.got).toEqual([]);
  await append(redis, shards, [anOutcome("m", 1, { type: "booking.canceled" })]);
  expect((await take(1, begun.last, "?type=booking.canceled")).got).toEqual(["m.1"]);
});

test("a client gets outcomes as they are published, of the types that it wants", async () => {
  const taking = take(2, undefined, "?type=booking.canceled");
  await until("the stream is open", async () => {
    await append(redis, shards, [anOutcome("x"), anOutcome("y", 1, { type: "booking.canceled" })]);
    return await Promise.race([taking.then(() => true), new Promise((resolve) => setTimeout(resolve, 50, false))]);
  });
  expect((await taking).got).toEqual(["y.1", "y.1"]);
});

test("a client that takes nothing is cut off, and not buffered for without end", async () => {
  const response = await open(undefined, "?after=");
  response.pause();
  const events = Array.from({ length: 500 }, (_, index) => ({
    ...anOutcome(`z${index}`),
    filler: "x".repeat(100_000),
  }));
  for (let from = 0; from < events.length; from += 50) await append(redis, shards, events.slice(from, from + 50));
  const { bufferedBytes } = await worker.untilLogged("cut off a client that takes nothing", 45_000);
  // One outcome, of the 500 that wait.
  expect(Number(bufferedBytes)).toBeLessThan(200_000);
  let taken = 0;
  response.on("data", (chunk: Buffer) => {
    taken += chunk.length;
  });
  const closed = new Promise((resolve) => response.once("close", resolve));
  response.resume();
  await closed;
  expect(taken).toBeLessThan(25_000_000);
}, 270_000);

test("stopping the worker ends its streams at once", async () => {
  const response = await open();
  response.resume();
  const ended = once(response, "close");
  const from = Date.now();
  await worker.end();
  await ended;
  expect(Date.now() - from).toBeLessThan(15_000);
  expect((await worker.exited).code).toBe(0);
});
