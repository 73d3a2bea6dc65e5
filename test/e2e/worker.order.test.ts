import { randomUUID } from "node:crypto";
import { conflictOf, takenTime } from "@calendly-worker/core/bookings/conflicts";
import { deliveryBody } from "@calendly-worker/core/calendly/api-deliveries";
import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createBookingStore, type Delivery } from "@calendly-worker/core/store/bookings";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import fc from "fast-check";
import { type Chain, createTestClock, factOf, playStories, storyOf, withRoom } from "../bookings/histories.ts";
import { play } from "../bookings/play.ts";
import { comparable, isCanonical, lastState } from "../bookings/sameness.ts";
import { openConflicts as namesOfOpen } from "../chaos/ledger.ts";
import { createRandom } from "../simulator/random.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { jobCount } from "../support/job-count.ts";
import { openGate } from "../support/open-gate.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { emptyRedis } from "../support/whole-redis.ts";

const HISTORIES = 200;
const WORKERS = 4;
const HOUR_MS = 3_600_000;
const SEED = 20_261_123;
/** A chain's invitees, its hosts and its form lie in different ones. */
const shards = createShards(3);

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
let chains: readonly Chain[];
let workers: AppProcess[] = [];
const random = createRandom(SEED);

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  const clock = createTestClock(Math.floor(Date.now() / HOUR_MS) * HOUR_MS);
  simulator = await startSimulator({ seed: SEED, now: clock.now, rateLimit: 1_000_000 });
  const stories = fc.sample(storyOf({ moves: 5, noShowToggles: 3 }), { numRuns: HISTORIES, seed: SEED });
  chains = playStories(simulator.account, stories.map(withRoom), clock);
  await startWorkers();
});

afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.end()));
  if (redis !== undefined) disconnect(redis);
  await simulator?.close();
  await server?.stop();
});

async function startWorkers(): Promise<void> {
  const variables = {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    LOG_LEVEL: "info",
    CALENDLY_SHARDS: "3",
    CALENDLY_MISSING_HALF_GRACE: "1",
  };
  workers = Array.from({ length: WORKERS }, () => startWorker(server.url, variables));
  await Promise.all(workers.map((worker) => worker.untilLogged("taking jobs")));
}

/** Puts each body on the queue as often as it is given, whatever came before; resolves when all jobs have ended. */
async function enqueueAll(bodies: readonly string[], origin: Delivery["origin"]): Promise<void> {
  const producer = createProducer({
    redis,
    contract: { ...deliveries, identity: () => randomUUID() },
    deduplicationMs: 1_000,
    deadlineMs: 60_000,
  });
  const receivedAt = new Date().toISOString();
  await Promise.all(
    bodies.map((body) => {
      const fact = factOf(body);
      const shard = shards.of(fact.kind === "routing_form" ? fact.formId : fact.inviteeId);
      return producer.enqueue(shard, "invitee.created", { identity: fact.identity, body, receivedAt, origin });
    }),
  );
  await until("all jobs have ended", isIdle, { deadlineMs: 50_000 });
}

async function isIdle(): Promise<boolean> {
  for (const shard of shards.all) {
    for (const queue of ["deliveries", "missing-halves"]) {
      if ((await jobCount(redis, shard, queue)) !== 0) return false;
    }
  }
  return true;
}

async function eventsByBooking(): Promise<Map<string, OutcomeEvent[]>> {
  const all = await Promise.all(shards.all.map((shard) => readOutcomes(redis, shard, "0", 1_000_000)));
  const events = all.flat().map(({ event }) => event);
  return Map.groupBy(
    events.filter(({ type }) => !type.startsWith("booking.conflict")),
    ({ subject }) => subject,
  );
}

/** Names of the conflicts that were told and not resolved. */
async function openConflicts(): Promise<string[]> {
  const all = await Promise.all(shards.all.map((shard) => readOutcomes(redis, shard, "0", 1_000_000)));
  const ids = all.flat().map(({ event }) => event.id);
  expect(new Set(ids).size).toBe(ids.length);
  return namesOfOpen(ids);
}

/** The conflicts that the bookings have in the end, each pair of them looked at. */
async function expectedConflicts(): Promise<string[]> {
  const store = createBookingStore({ redis, shards, retentionDays: 90, referenceField: "utm_content", now: Date.now });
  const stored = await Promise.all(chains.map(({ bookingId }) => store.load(bookingId)));
  const taken = stored.flatMap(({ booking, version }) => takenTime(booking, version) ?? []);
  const hosts = new Set(taken.flatMap(({ busy }) => Object.keys(busy)));
  const names = taken.flatMap((one, index) =>
    taken.slice(index + 1).flatMap((other) =>
      [...hosts].flatMap((host) => {
        const conflict = conflictOf(host, one, other);
        return conflict === undefined ? [] : [`${conflict.pair}.conflict.${conflict.data.overlap.start}`];
      }),
    ),
  );
  return names.toSorted();
}

async function expectEveryLogRight(): Promise<void> {
  const byBooking = await eventsByBooking();
  expect(byBooking.size).toBe(chains.length);
  for (const { bookingId, bodies } of chains) {
    const events = byBooking.get(bookingId) ?? [];
    const { outcomes } = play(bookingId, bodies.map(factOf));
    expect(events.filter(isCanonical).map(comparable)).toEqual(outcomes.filter(isCanonical).map(comparable));
    expect(lastState(events)).toEqual(lastState(outcomes));
    expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
  }
}

test("200 histories, shuffled and repeated, give every booking its log, with four workers racing", async () => {
  const bodies = chains.flatMap((chain) => chain.bodies);
  await enqueueAll(random.shuffle([...bodies, ...bodies.filter(() => random.next() < 0.5)]), "webhook");
  await expectEveryLogRight();
  expect(await Promise.all(shards.all.map(({ tag }) => redis.zcard(`${tag}:unfinished`)))).toEqual([0, 0, 0]);
  const expected = await expectedConflicts();
  expect(expected.length).toBeGreaterThan(20);
  expect(await openConflicts()).toEqual(expected);
  const failed = workers.flatMap(({ logs }) => logs).filter((line) => line["result"] === "failed");
  expect(failed).toEqual([]);
}, 360_000);

test("after everything in Redis is lost, a replay from Calendly's API gives the same ids in the same order", async () => {
  const idsBefore = new Map(
    [...(await eventsByBooking())].map(([id, log]) => [id, log.filter(isCanonical).map((one) => one.id)]),
  );
  const statesBefore = new Map([...(await eventsByBooking())].map(([id, log]) => [id, lastState(log)]));
  await Promise.all(workers.map((worker) => worker.end()));
  await emptyRedis(redis);
  await startWorkers();

  const client = createCalendlyClient({
    gate: openGate(DEMO_TOKEN),
    baseUrl: simulator.url,
    timeoutMs: 10_000,
    totalTimeoutMs: 30_000,
    signal: new AbortController().signal,
  });
  const { current_organization: organization } = await client.currentUser();
  const bodies: string[] = [];
  for await (const event of client.scheduledEvents({ organization })) {
    for await (const invitee of client.invitees(event.uri)) bodies.push(deliveryBody(invitee, event));
  }
  await enqueueAll(random.shuffle(bodies), "replay");

  const after = await eventsByBooking();
  const idsAfter = new Map([...after].map(([id, log]) => [id, log.filter(isCanonical).map((one) => one.id)]));
  for (const { bookingId } of chains) {
    expect(idsAfter.get(bookingId)).toEqual(idsBefore.get(bookingId));
    expect(lastState(after.get(bookingId) ?? [])).toEqual(statesBefore.get(bookingId));
  }
  expect(idsAfter.size).toBe(idsBefore.size);
  expect(await openConflicts()).toEqual(await expectedConflicts());
}, 360_000);
