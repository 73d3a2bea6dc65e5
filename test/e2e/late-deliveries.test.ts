import { createQueueOperations } from "@calendly-worker/core/queues/operations";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, heartbeatsKey } from "@calendly-worker/core/redis/keys";
import { createLateMemory } from "@calendly-worker/core/store/late-deliveries";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import type { Happening } from "../simulator/account.ts";
import type { Invitee } from "../simulator/meetings.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, type Ingest, type OutcomeLog, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const LATE_S = 3_600;
const [shard] = createShards(1).all;

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
let outcomes: OutcomeLog;
let ingest: Ingest;
let worker: AppProcess | undefined;

beforeEach(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  outcomes = await openOutcomeLog(redis);
  simulator = await startSimulator({ seed: 41, rateLimit: 100_000 });
  ingest = await startIngest(server.url);
  await ingest.untilLogged("ready for deliveries");
});

afterEach(async () => {
  await Promise.all([ingest.end("SIGKILL"), worker?.end("SIGKILL")]);
  worker = undefined;
  disconnect(redis);
  await simulator.close();
  await server.stop();
});

async function startOne(variables: Variables = {}): Promise<AppProcess> {
  const calendly = { CALENDLY_API_BASE_URL: simulator.url, CALENDLY_API_TOKEN: DEMO_TOKEN };
  worker = startWorker(server.url, { ...calendly, ...variables });
  await worker.untilLogged("taking jobs");
  return worker;
}

let count = 0;
function book(): Invitee {
  count += 1;
  const start = new Date(Date.now() + count * 3_600_000).toISOString();
  return simulator.account.book({
    eventType: "intro",
    start,
    name: "Priya Nair",
    email: "priya.nair@acme-corp.example",
  });
}

function happened(): Happening {
  const last = simulator.account.history().at(-1);
  if (last === undefined) throw new Error("nothing has happened");
  return last;
}

/** Delivers what happened last, or something else, an hour after it was signed. */
async function deliverLate(happening = happened()) {
  const body = bodyOf(happening);
  const signedAt = Math.floor(Date.now() / 1_000) - LATE_S;
  return await deliver(ingest.webhookUrl, body, { signature: signatureHeader(body, SIGNING_KEY, signedAt) });
}

const asked = () => simulator.requests().filter(({ path }) => path.includes("/invitees/")).length;

test("what comes late is asked for at Calendly, told once, and answered as a repeat from then on", async () => {
  await startOne();
  const { id } = book();
  expect((await deliverLate()).status).toBe(401);
  const [told] = await outcomes.untilThere([`${id}.confirmed`]);
  expect(told?.data).toMatchObject({ origin: "reconcile" });
  const repeat = await until("it counts as known", async () => {
    const answer = await deliverLate();
    return answer.status === 200 ? answer : undefined;
  });
  expect(repeat.body).toEqual({ status: "duplicate", id: `invitee.created/${id}` });
  expect(await outcomes.all()).toHaveLength(1);
});

test("of what Calendly has erased nothing is told, and its retries end too", async () => {
  await startOne();
  const { id } = book();
  const happening = happened();
  simulator.account.forget(id);
  await deliverLate(happening);
  await until("it counts as known", async () => (await deliverLate(happening)).status === 200);
  expect(await outcomes.all()).toEqual([]);
});

test("a cancellation of whom Calendly has erased is a job that was given up: nobody can say any more what it is about", async () => {
  await startOne();
  const { id } = book();
  await deliver(ingest.webhookUrl, bodyOf(happened()));
  await outcomes.untilThere([`${id}.confirmed`]);
  simulator.account.cancel(id);
  const canceled = happened();
  simulator.account.forget(id);
  await deliverLate(canceled);
  await until("it counts as known", async () => (await deliverLate(canceled)).status === 200);
  const queues = createQueueOperations({ redis, shards: createShards(1) });
  const failed = await until("it is given up", async () => (await queues.failed())[0]);
  await queues.close();
  expect(failed).toMatchObject({ queue: "late-deliveries", identity: `invitee.canceled/${id}` });
  expect(failed.reason).toContain("not canceled here");
});

test("what comes late is no history, however old it is", async () => {
  await startOne({ CALENDLY_PUBLISH_FROM: new Date(Date.now() + 600_000).toISOString() });
  const { id } = book();
  await deliverLate();
  await outcomes.untilThere([`${id}.confirmed`]);
});

test("a cancellation that the API does not know yet is asked for again", async () => {
  const running = await startOne();
  const invitee = book();
  const created = happened();
  const canceled = { ...created, event: "invitee.canceled", payload: { ...created.payload, status: "canceled" } };
  await deliverLate(canceled);
  await until("it has been asked for in vain", () =>
    running.logs.some(({ msg, queue }) => msg === "job failed" && queue === "late-deliveries"),
  );
  expect((await deliverLate(canceled)).status).toBe(401);
  simulator.account.cancel(invitee.id);
  await outcomes.untilThere([`${invitee.id}.canceled`]);
});

test("the asking is bounded per minute, the keeping is not", async () => {
  if (shard === undefined) throw new Error("there is no shard");
  await startOne({ CALENDLY_LATE_FETCHES: "3", WORKER_HEARTBEAT_INTERVAL: "120000" });
  // A heartbeat is a job too: it would be counted among those that wait, and those that are begun.
  const isBeaten = async () => (await redis.hexists(heartbeatsKey, "late-deliveries/0")) === 1;
  const isEmpty = async () => (await jobCount(redis, shard, "late-deliveries")) === 0;
  await until("its one heartbeat has gone through", async () => (await isBeaten()) && (await isEmpty()));
  const invitees = Array.from({ length: 8 }, book);
  for (const happening of simulator.account.history()) await deliverLate(happening);
  await outcomes.untilThere(invitees.slice(0, 1).map(({ id }) => `${id}.confirmed`));
  // A job ends after its outcome is told.
  await until("three are done", async () => (await jobCount(redis, shard, "late-deliveries")) <= 5);
  expect(await jobCount(redis, shard, "late-deliveries")).toBe(5);
  expect(await outcomes.all()).toHaveLength(3);
  expect(asked()).toBe(3);
});

test("without a worker the hints are kept until there is one", async () => {
  const invitees = Array.from({ length: 4 }, book);
  for (const happening of simulator.account.history()) await deliverLate(happening);
  await startOne();
  await outcomes.untilThere(invitees.map(({ id }) => `${id}.confirmed`));
});

testWhere("a proxy", "a note that is sent again, its answer being lost, is not taken for a repetition", async () => {
  const proxy = await startTcpProxy(server.port);
  const through = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
  try {
    const memory = createLateMemory({ redis: through, shards: createShards(1), memoryMs: 60_000, now: Date.now });
    // Redis knows the script from here on, so that what is sent again is what it has answered.
    await memory.note("invitee.created/y", "the-first-signature");
    const answered = proxy.holdAt("a-signature", "after");
    const noted = memory.note("invitee.created/x", "a-signature");
    await answered;
    proxy.leadTo(server.port);
    expect(await noted).toEqual({ isConfirmed: false, isRepeated: false });
    expect(await memory.note("invitee.created/x", "another-signature")).toMatchObject({ isRepeated: false });
    expect(await memory.note("invitee.created/x", "another-signature")).toMatchObject({ isRepeated: true });
  } finally {
    disconnect(through);
    await proxy.close();
  }
});
