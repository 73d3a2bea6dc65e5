import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { createDestinationManager } from "@calendly-worker/core/outcomes/manage-destinations";
import { createTargetGuard } from "@calendly-worker/core/outcomes/push-target";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import { createPushQueues, type PushQueues } from "@calendly-worker/core/queues/push-queues";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, outcomeStreamKey, pushLineKey } from "@calendly-worker/core/redis/keys";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { createNotices } from "@calendly-worker/core/store/notices";
import { createOutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Webhook } from "standardwebhooks";
import { dropEndedJobs } from "../../apps/worker/src/jobs/drop-ended-jobs.ts";
import { trimOutcomes } from "../../apps/worker/src/jobs/trim-outcomes.ts";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess } from "../support/app-process.ts";
import { runCommand } from "../support/cli.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { countTries } from "../support/count-tries.ts";
import { anOutcome, append } from "../support/outcome-stream.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const OPS = "ops-token-of-the-tests";
/** What another worker leaves is taken over soon. */
const PUSHING = {
  OPS_API_TOKEN: OPS,
  CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8",
  WORKER_STALLED_CHECK_INTERVAL: "500",
};
const shards = createShards(1);

interface Got {
  readonly id: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly at: number;
}

interface Receiver {
  readonly url: string;
  readonly got: Got[];
  close(): void;
}

let server: RedisServer;
let redis: Redis;
let worker: AppProcess;
let workerUrl: string;
let api: ReturnType<typeof createApiClient>;
let queues: PushQueues;
const receivers: Server[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  queues = createPushQueues({ redis, shard: shards.first, log: silent });
  worker = startWorker(server.url, PUSHING);
  workerUrl = String((await worker.untilLogged("listening"))["url"]);
  api = createApiClient(workerUrl, OPS);
  await worker.untilLogged("taking jobs");
});

afterEach(async () => {
  const { body } = await api("GET", "/api/destinations");
  for (const { id } of body.destinations) await api("DELETE", `/api/destinations/${id}`);
  for (const open of receivers.splice(0)) {
    open.close();
    open.closeAllConnections();
  }
});

afterAll(async () => {
  await worker.end();
  await queues.close();
  disconnect(redis);
  await server.stop();
});

/** A destination's server: what it got, and how it answers. */
async function receive(answer: (res: ServerResponse, got: Got, req: IncomingMessage) => unknown): Promise<Receiver> {
  const got: Got[] = [];
  const receiver = createServer(async (req, res) => {
    const body = await text(req);
    const headers = req.headers as Record<string, string>;
    const one = { id: String(headers["webhook-id"]), headers, body, at: Date.now() };
    got.push(one);
    await answer(res, one, req);
  });
  receivers.push(receiver);
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const { port } = receiver.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/hook`, got, close: () => receiver.closeAllConnections() };
}

const ok = (res: ServerResponse) => res.writeHead(204).end();

async function add(url: string, options: object = {}) {
  const { status, body } = await api("POST", "/api/destinations", { url, ...options });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

const publish = (...events: Parameters<typeof append>[2]) => append(redis, shards, events);
const show = async (id: string) => (await api("GET", `/api/destinations/${id}`)).body;

/** What a worker does every hour, in so many days from now: outcomes are kept for one, and at most for three. */
async function trimIn(days: number): Promise<void> {
  const now = () => Date.now() + days * 86_400_000;
  await trimOutcomes({
    shards,
    trimmer: createOutcomeTrimmer({ redis, retentionDays: 1, maxAgeDays: 3, now }),
    destinations: createDestinationStore(redis, now),
    queues,
    notices: createNotices(redis, now),
    maxAgeDays: 3,
  })({} as JobContext);
}

/** Lets all jobs that wait for their time begin now: what takes hours is not waited for. A rest is, it is short here. */
async function hurry(id: string): Promise<void> {
  const queue = `{calendly:0}:push-${id}`;
  for (const job of await redis.zrange(`${queue}:delayed`, "0", "-1")) {
    await redis.zadd(`${queue}:delayed`, "XX", 0, job);
  }
  await redis.zadd(`${queue}:marker`, 0, "0");
}

describe("while a new address is looked up, what others do is not undone:", () => {
  const guard = createTargetGuard(["127.0.0.0/8"]);
  const manager = (meanwhile?: () => Promise<unknown>) =>
    createDestinationManager({
      destinations: createDestinationStore(redis, Date.now),
      queues,
      guard: { ...guard, check: async () => void (await meanwhile?.()) },
      now: Date.now,
    });
  const [before, after] = ["http://127.0.0.1:9/before", "http://127.0.0.1:9/after"];

  test("a new secret is kept, and signs what is pushed", async () => {
    const { url, got } = await receive(ok);
    const { id } = await add(before);
    let secret = "";
    const changing = manager(async () => {
      secret = (await api("POST", `/api/destinations/${id}/secret`, { overlapSeconds: 0 })).body.secret;
    });
    expect(await changing.change(id, { url })).toMatchObject({ url, secretCount: 1 });
    await publish(anOutcome(randomUUID()));
    const [pushed] = await until("it is pushed", () => got.length > 0 && got);
    expect(() => new Webhook(secret).verify(pushed?.body ?? "", pushed?.headers ?? {})).not.toThrow();
  });

  test("one that is removed stays removed", async () => {
    const { id } = await add(before);
    expect(await manager(() => manager().remove(id)).change(id, { url: after, isPaused: true })).toBeUndefined();
    expect(await manager().find(id)).toBeUndefined();
    expect((await createDestinationStore(redis, Date.now).state(id)).paused).toBeUndefined();
  });

  test("nor is anything else that is done at the same moment", async () => {
    const { id } = await add(before);
    const [rotated] = await Promise.all([
      manager().rotateSecret(id, 0),
      manager().change(id, { url: after }),
      manager().change(id, { types: ["booking.canceled"] }),
      manager().change(id, { ordered: true }),
      manager().change(id, { hosts: ["somebody"] }),
    ]);
    const kept = await createDestinationStore(redis, Date.now).find(id);
    expect(kept).toMatchObject({ url: after, types: ["booking.canceled"], ordered: true, hosts: ["somebody"] });
    expect(kept?.secrets).toEqual([{ value: rotated?.secret }]);
  });
});

test("what is pushed is verified by the official library, with the secret and with the one before while both hold", async () => {
  const { url, got } = await receive(ok);
  const destination = await add(url);
  expect(destination.secret).toMatch(/^whsec_/);
  expect(await show(destination.id)).not.toHaveProperty("secret");
  const outcome = anOutcome(randomUUID());
  await publish(outcome);
  const [first] = await until("it is pushed", () => got.length > 0 && got);
  expect(new Webhook(destination.secret).verify(first?.body ?? "", first?.headers ?? {})).toEqual(outcome);
  expect(first?.headers).toMatchObject({ "webhook-id": outcome.id, "content-type": "application/cloudevents+json" });

  const rotated = (await api("POST", `/api/destinations/${destination.id}/secret`, { overlapSeconds: 3_600 })).body;
  expect(rotated.secretCount).toBe(2);
  await publish(anOutcome(randomUUID()));
  const [, second] = await until("the next one is pushed", () => got.length > 1 && got);
  for (const secret of [destination.secret, rotated.secret]) {
    expect(() => new Webhook(secret).verify(second?.body ?? "", second?.headers ?? {})).not.toThrow();
  }
  await api("POST", `/api/destinations/${destination.id}/secret`, { overlapSeconds: 0 });
  await publish(anOutcome(randomUUID()));
  const [, , third] = await until("the third one is pushed", () => got.length > 2 && got);
  expect(() => new Webhook(rotated.secret).verify(third?.body ?? "", third?.headers ?? {})).toThrow();
});

test("a destination gets what it asked for, from its making on", async () => {
  await publish(anOutcome(randomUUID()));
  const { url, got } = await receive(ok);
  const sample = anOutcome("x") as ReturnType<typeof anOutcome> & {
    data: { booking: { event: { type: { uri: string } } } };
  };
  const eventType = sample.data.booking.event.type.uri.split("/").at(-1);
  await add(url, { types: ["booking.canceled"] });
  await add(`${url}?of=type`, { eventTypes: [eventType] });
  await add(`${url}?of=another`, { eventTypes: ["another"] });
  const outcome = anOutcome(randomUUID());
  const last = anOutcome(randomUUID(), 2, { type: "booking.canceled" });
  await publish(outcome, last);
  await until("all three are pushed", () => got.length === 3);
  expect(got.map(({ id }) => id).toSorted()).toEqual([outcome.id, last.id, last.id].toSorted());
});

test("what fails is tried again; with Retry-After nothing is sent before; then it goes on", async () => {
  let failures = 0;
  const { url, got } = await receive((res) => {
    failures += 1;
    if (failures === 1) res.writeHead(503, { "retry-after": "2" }).end();
    else ok(res);
  });
  const { id } = await add(url);
  await publish(anOutcome("a"));
  await until("it has failed", async () => (await show(id)).lastFailure === "answered 503");
  expect((await show(id)).circuitOpenUntil).not.toBeNull();
  await publish(anOutcome("b"));
  await until("both are delivered", () => got.length === 3, { deadlineMs: 15_000 });
  expect((got[1]?.at ?? 0) - (got[0]?.at ?? 0)).toBeGreaterThanOrEqual(1_900);
  await until("it is well", async () => (await show(id)).failingSince === null);
});

test("in order, an outcome waits for the one before it of its booking, and for none of another", async () => {
  let isSick = true;
  const { url, got } = await receive((res, { id }) => (id === "a.1" && isSick ? res.writeHead(500).end() : ok(res)));
  const { id } = await add(url, { ordered: true });
  await publish(anOutcome("a", 1), anOutcome("a", 2), anOutcome("b", 1), anOutcome("a", 3), anOutcome("b", 2));
  await until("the other is delivered", () => got.some((one) => one.id === "b.2"));
  expect(got.map((one) => one.id).filter((one) => one !== "a.1")).toEqual(["b.1", "b.2"]);
  isSick = false;
  await hurry(id);
  await until("all are delivered", () => got.some((one) => one.id === "a.3"));
  expect([...new Set(got.map((one) => one.id))].filter((one) => one.startsWith("a"))).toEqual(["a.1", "a.2", "a.3"]);
});

test("in order, outcomes stand in line for as long as they wait for a destination", async () => {
  const { url } = await receive((res) => res.writeHead(500).end());
  const { id } = await add(url, { ordered: true });
  await publish(anOutcome("a", 1));
  await until("it stands in line", async () => (await redis.exists(pushLineKey(id, "a"))) === 1);
  // CALENDLY_OUTCOMES_MAX_AGE, in days.
  expect(await redis.ttl(pushLineKey(id, "a"))).toBeGreaterThan(180 * 86_400);
});

test("what was tried in vain for days is a dead letter; it is pushed again when asked, one or all, or only counted", async () => {
  let isSick = true;
  const { url, got } = await receive((res) => (isSick ? res.writeHead(500).end() : ok(res)));
  const { id } = await add(url, { ordered: true });
  await publish(anOutcome("a", 1), anOutcome("a", 2), anOutcome("b", 1));
  const given = async () => {
    await countTries(redis, `{calendly:0}:push-${id}`, 24);
    await hurry(id);
    return (await show(id)).deadLetters === 3;
  };
  await until("all are given up", given, { deadlineMs: 40_000, everyMs: 200 });
  const letters = (await api("GET", `/api/destinations/${id}/dead-letters`)).body.deadLetters;
  expect(letters[0]).toMatchObject({ reason: "answered 500", attempts: 25, type: "booking.confirmed" });
  isSick = false;
  const again = async (body: object) => (await api("POST", `/api/destinations/${id}/redeliveries`, body)).body;
  const before = got.length;
  expect((await again({ dryRun: true })).redelivered.toSorted()).toEqual(["a.1", "a.2", "b.1"]);
  expect(await again({ outcomes: ["b.1"] })).toEqual({ redelivered: ["b.1"], dryRun: false });
  await until("it is delivered", () => got.length === before + 1, { deadlineMs: 20_000 });
  expect((await again({})).redelivered.toSorted()).toEqual(["a.1", "a.2"]);
  await until("all are delivered", () => got.length === before + 3);
  expect((await show(id)).deadLetters).toBe(0);
});

test("dead letters are dropped by hand, and after 30 days; nobody stands in line behind them", async () => {
  let isSick = true;
  const { url, got } = await receive((res) => (isSick ? res.writeHead(500).end() : ok(res)));
  const { id } = await add(url, { ordered: true });
  await publish(anOutcome("a", 1), anOutcome("b", 1));
  const given = async () => {
    await countTries(redis, `{calendly:0}:push-${id}`, 24);
    await hurry(id);
    return (await show(id)).deadLetters === 2;
  };
  await until("both are given up", given, { deadlineMs: 40_000, everyMs: 200 });
  isSick = false;
  const drop = (...args: string[]) => runCommand(["destinations", "drop", id, ...args], { REDIS_URL: server.url });
  const failed = `{calendly:0}:push-${id}:failed`;
  expect((await drop("--all", "--dry-run")).stdout).toMatch(/2 would be dropped\.\n$/);
  expect((await show(id)).deadLetters).toBe(2);
  expect((await drop("a.1")).stdout).toBe("a.1\n1 are dropped.\n");
  const [job = "", ...others] = await redis.zrange(failed, 0, "-1");
  expect(others).toEqual([]);

  // As whoever is given up because its worker was killed again and again.
  const destinations = createDestinationStore(redis, Date.now);
  await destinations.line.join(id, "b", job, 60_000);
  const context = { signal: new AbortController().signal } as JobContext;
  const dropOld = () => dropEndedJobs({ redis, shards, destinations, now: Date.now })(context);
  for (const [days, left] of [
    [29, 1],
    [31, 0],
  ] as const) {
    await redis.zadd(failed, "XX", Date.now() - days * 86_400_000, job);
    await dropOld();
    expect((await show(id)).deadLetters).toBe(left);
  }
  expect(await redis.exists(`{calendly:0}:push-${id}:${job}`)).toBe(0);
  const before = got.length;
  await publish(anOutcome("a", 2), anOutcome("b", 2));
  await until("the next ones of both are pushed", () => got.length === before + 2);
  await until("nobody stands in line", async () => (await redis.exists(pushLineKey(id, "b"))) === 0);
});

test("410 ends it: the destination is paused with a notice, and nothing is lost", async () => {
  const { url, got } = await receive((res) => (got.length === 1 ? res.writeHead(410).end() : ok(res)));
  const { id } = await add(url);
  await publish(anOutcome("a"));
  await until("it is paused", async () => (await show(id)).paused === "gone");
  await until("the first is a dead letter", async () => (await show(id)).deadLetters === 1);
  await publish(anOutcome("b"));
  await until("the next one waits", async () => (await show(id)).waiting === 1);
  expect(got).toHaveLength(1);
  const notices = JSON.stringify(await redis.xrange("{calendly:0}:notices", "-", "+"));
  expect(notices).toContain("destinations.gone");
  await api("PATCH", `/api/destinations/${id}`, { isPaused: false });
  await until("it goes on", () => got.some((one) => one.id === "b.1"));
});

test("a destination that has failed for five days is paused with a notice", async () => {
  const { url } = await receive((res) => res.writeHead(500).end());
  const { id } = await add(url);
  await redis.hset(`{calendly:0}:destination:${id}:state`, "failing_since", String(Date.now() - 5 * 86_400_000));
  await publish(anOutcome("a"));
  await until("it is paused", async () => (await show(id)).paused === "failing");
  const notices = JSON.stringify(await redis.xrange("{calendly:0}:notices", "-", "+"));
  expect(notices).toMatch(/destinations\.paused.*failed for 5 days/);
});

test("after failures in a row nothing is sent for a while, and each outcome keeps its tries", async () => {
  const { url, got } = await receive((res) => res.writeHead(500).end());
  const { id } = await add(url, { concurrency: 1 });
  await publish(...Array.from({ length: 50 }, (_, index) => anOutcome(`c${index}`)));
  const { circuitOpenUntil } = await until("the circuit is open", async () => {
    const shown = await show(id);
    return shown.circuitOpenUntil !== null && shown;
  });
  expect(Date.parse(circuitOpenUntil)).toBeGreaterThan(Date.now());
  expect(got.length).toBeLessThanOrEqual(6);
  expect(await show(id)).toMatchObject({ waiting: 50, deadLetters: 0 });
});

test("what was erased before it could be pushed is pushed no more", async () => {
  let isSick = true;
  const { url, got } = await receive((res) => (isSick ? res.writeHead(500).end() : ok(res)));
  const { id } = await add(url);
  const [streamId = ""] = await publish(anOutcome("a"));
  await until("it has failed", () => got.length === 1);
  await redis.xdel("{calendly:0}:outcomes", streamId);
  isSick = false;
  await until("it is done with", async () => {
    await hurry(id);
    return (await show(id)).waiting === 0;
  });
  expect(got).toHaveLength(1);
  expect((await show(id)).deadLetters).toBe(0);
});

describe("a destination's queue that stands still is said to be paused:", () => {
  test("where only the queue is, as on the queue dashboard", async () => {
    const { id } = await add("http://127.0.0.1:9/nobody");
    await queues.pause(id);
    expect(await show(id)).toMatchObject({ paused: "by hand" });
    const metrics = await (await fetch(`${workerUrl}/metrics`, { headers: { authorization: `Bearer ${OPS}` } })).text();
    expect(metrics).toContain(`calendly_destination_paused{destination="${id}"} 1`);
  });

  test("where letting it go on broke off", async () => {
    const { url, got } = await receive(ok);
    const { id } = await add(url);
    await api("PATCH", `/api/destinations/${id}`, { isPaused: true });
    await publish(anOutcome("waits"));
    const manager = createDestinationManager({
      destinations: createDestinationStore(redis, Date.now),
      queues: { ...queues, resume: () => Promise.reject(new Error("Redis is away")) },
      guard: createTargetGuard(["127.0.0.0/8"]),
      now: Date.now,
    });
    await expect(manager.change(id, { isPaused: false })).rejects.toThrow("Redis is away");
    expect(await show(id)).toMatchObject({ paused: "by hand" });
    await api("PATCH", `/api/destinations/${id}`, { isPaused: false });
    await until("it is pushed", () => got.length === 1);
    expect(await show(id)).toMatchObject({ paused: null });
  });
});

test("what waits for a paused destination is kept up to the maximum age, and what is younger behind it", async () => {
  const { url, got } = await receive(ok);
  const ids = [await add(url), await add(url)].map(({ id }) => id);
  const [first = "", second = ""] = ids;
  for (const id of ids) await api("PATCH", `/api/destinations/${id}`, { isPaused: true });
  await publish(anOutcome("a"), anOutcome("b"), anOutcome("c"));
  for (const id of ids) await until("all wait", async () => (await show(id)).waiting === 3);
  await trimIn(2);
  await api("PATCH", `/api/destinations/${first}`, { isPaused: false });
  await until("one destination has all", () => got.length === 3);
  await trimIn(2);
  await api("PATCH", `/api/destinations/${second}`, { isPaused: false });
  await until("the other one too", () => got.length === 6);
  expect(
    got
      .slice(3)
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(["a.1", "b.1", "c.1"]);
  await until("nothing waits", async () => (await show(second)).waiting === 0);
  await trimIn(2);
  expect(await redis.xlen("{calendly:0}:outcomes")).toBe(0);
});

test("what was dropped by age before it could be pushed is a dead letter, and not lost without a word", async () => {
  const { url, got } = await receive(ok);
  const { id } = await add(url);
  await api("PATCH", `/api/destinations/${id}`, { isPaused: true });
  await publish(anOutcome("a"));
  await until("it waits", async () => (await show(id)).waiting === 1);
  await trimIn(4);
  await api("PATCH", `/api/destinations/${id}`, { isPaused: false });
  await until("it is given up", async () => (await show(id)).deadLetters === 1);
  const { body } = await api("GET", `/api/destinations/${id}/dead-letters`);
  expect(body.deadLetters[0].reason).toContain("dropped by age");
  expect(got).toEqual([]);
});

describe("nine sick destinations", () => {
  test("delay nothing of a healthy one", async () => {
    const sick: Parameters<typeof receive>[0][] = [
      (res) => res.writeHead(500).end(),
      () => new Promise(() => {}),
      (_res, _got, req) => req.socket.resetAndDestroy(),
      (res) => res.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      (res) => res.writeHead(500).end(Buffer.alloc(10_000_000)),
      (res) => res.writeHead(200, { "content-length": "10000000" }).flushHeaders(),
      (res) => res.writeHead(429, { "retry-after": "3600" }).end(),
      (res) => res.write("half"),
    ];
    for (const answer of sick) await add((await receive(answer)).url);
    await add("http://127.0.0.1:9/nobody");
    const healthy = await receive(ok);
    await add(healthy.url);
    const events = Array.from({ length: 300 }, (_, index) => anOutcome(`h${index}`));
    const publishedAt = new Map<string, number>();
    for (let from = 0; from < events.length; from += 10) {
      const batch = events.slice(from, from + 10);
      for (const { id } of batch) publishedAt.set(id, Date.now());
      await publish(...batch);
      // One after the other, so that what one waits for is the sick, and not those before it.
      await until("the healthy one has them", () => healthy.got.length >= from + batch.length, { deadlineMs: 20_000 });
    }
    const { body } = await api("GET", "/api/destinations");
    const sickOnes = body.destinations.filter(({ url }: { url: string }) => url !== healthy.url);
    expect(sickOnes).toHaveLength(9);
    // Not one of them has come to an end with what it was given, and the healthy one has.
    const stillWaiting = sickOnes.filter(({ waiting }: { waiting: number }) => waiting > 0);
    expect(stillWaiting.length).toBeGreaterThanOrEqual(7);
    expect(new Set(healthy.got.map(({ id }) => id)).size).toBe(events.length);
    const longest = Math.max(...healthy.got.map(({ id, at }) => at - (publishedAt.get(id) ?? 0)));
    // A hanging one is given up after ten seconds: whoever had waited for it would come later than that.
    expect(longest).toBeLessThan(10_000);
  });
});

test("two workers, one of them killed in the middle: each booking's outcomes arrive, in their order", async () => {
  // Long enough for a busy machine: what it had in its hands is counted in the end.
  const second = startWorker(server.url, { ...PUSHING, WORKER_JOB_LOCK_DURATION: "5000" });
  await second.untilLogged("taking jobs");
  const { url, got } = await receive(async (res) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
    ok(res);
  });
  await add(url, { ordered: true, concurrency: 20 });
  const events = Array.from({ length: 600 }, (_, index) => anOutcome(`k${index % 100}`, Math.floor(index / 100) + 1));
  const publishing = (async () => {
    for (let from = 0; from < events.length; from += 50) {
      await publish(...events.slice(from, from + 50));
      await until("some more have arrived", () => got.length > from / 2);
    }
  })();
  await until("a third has arrived", () => got.length > 200, { deadlineMs: 30_000 });
  second.signal("SIGKILL");
  await second.exited;
  await publishing;
  const arrived = () => new Set(got.map(({ id }) => id)).size === events.length;
  await until("all have arrived", arrived, { deadlineMs: 40_000 });
  const first = [...new Set(got.map(({ id }) => id))];
  for (let index = 0; index < 100; index++) {
    const own = first.filter((id) => id.startsWith(`k${index}.`));
    expect(own).toEqual(Array.from({ length: 6 }, (_, sequence) => `k${index}.${sequence + 1}`));
  }
  // What was under way when it was killed is sent again.
  expect(got.length - events.length).toBeLessThanOrEqual(20);
}, 360_000);

test("a worker whose group was destroyed ends as failed, and the next one pushes what is kept", async () => {
  const { url, got } = await receive(ok);
  await add(url);
  const [told, later] = [anOutcome(randomUUID()), anOutcome(randomUUID())];
  await publish(told);
  await until("it is pushed", () => got.some(({ id }) => id === told.id));
  await redis.xgroup("DESTROY", outcomeStreamKey(shards.first), "push");
  expect(await worker.exited).toEqual({ code: 1, signal: null });
  await publish(later);
  worker = startWorker(server.url, PUSHING);
  api = createApiClient(String((await worker.untilLogged("listening"))["url"]), OPS);
  await until("what came meanwhile is pushed", () => got.some(({ id }) => id === later.id));
}, 120_000);
