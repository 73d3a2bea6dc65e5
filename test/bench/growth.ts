import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { conferenceLinks, missingHalves } from "@calendly-worker/core/queues/contracts";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { bookingKey, createShards, indexKey } from "@calendly-worker/core/redis/keys";
import { createBookingSearch } from "@calendly-worker/core/store/booking-search";
import { createBookingStore, type Delivery } from "@calendly-worker/core/store/bookings";
import { createExpectations } from "@calendly-worker/core/store/expectations";
import { createHostTimes } from "@calendly-worker/core/store/host-times";
import { createKnownEvents } from "@calendly-worker/core/store/known-events";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { untraced } from "@calendly-worker/core/telemetry/trace";
import { createAdmission } from "../../apps/worker/src/admit.ts";
import { createFold, type Fold } from "../../apps/worker/src/fold.ts";
import { createUnfinished } from "../../apps/worker/src/unfinished.ts";
import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { startRedis } from "../support/redis-server.ts";

// What it costs to fold a fact and to commit it, with few bookings in Redis and with many, in turns and in one run. A
// ratio near 1 says that the cost does not grow with what is stored.

const FEW = 1_000;
const MANY = 200_000;
const HOSTS = 100;
const ROUNDS = 20;
const BOOKINGS_PER_ROUND = 150;
const DAY_MS = 86_400_000;

const shards = createShards(1);
const context = { log: silent, signal: new AbortController().signal };

interface Store {
  readonly name: string;
  readonly redis: Redis;
  readonly fold: Fold;
  readonly wallUs: number[];
  readonly cpuUs: number[];
}

function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

function foldOn(redis: Redis): Fold {
  const now = Date.now;
  const retentionDays = 90;
  const pending = { redis, shards, log: silent };
  const referenceField = "utm_content";
  const bookings = createBookingStore({ redis, shards, retentionDays, referenceField, now });
  const search = createBookingSearch({ redis, shards, bookings, referenceField });
  return createFold({
    bookings,
    hostTimes: createHostTimes({
      redis,
      shards,
      retentionDays,
      now,
      publishFrom: () => 0,
      alternativesTo: async () => null,
    }),
    eventTypes: { find: async () => undefined, forget: async () => {} },
    expectations: createExpectations({ redis, shards, search, retentionDays, now }),
    events: createKnownEvents({ redis, shards, retentionDays, now }),
    quarantine: createQuarantine({ redis, shards, retentionDays }),
    unfinished: createUnfinished({
      shards,
      halves: createPendingJobs({ ...pending, contract: missingHalves }),
      links: createPendingJobs({ ...pending, contract: conferenceLinks }),
      missingHalfGraceMs: 30_000,
      conferenceLinkIntervalMs: 30_000,
      now,
    }),
    admit: createAdmission({ bookings, scope: {}, retentionDays, now }),
    measure: { folded: () => {}, published: () => {} },
    trace: untraced,
    referenceField,
    publishFrom: () => 0,
  });
}

/** A booking at a time and a host of its own, as Calendly would tell of it. */
function bodiesOf(index: number): string[] {
  const invitee = newInvitee();
  const start = new Date(Date.parse("2030-01-01T00:00:00Z") + Math.floor(index / HOSTS) * 3_600_000).toISOString();
  const end = new Date(Date.parse(start) + 1_800_000).toISOString();
  return [createdBody(invitee), canceledBody(invitee)].map((body) =>
    body
      .replaceAll("2026-12-03T19:00:00.000000Z", start)
      .replaceAll("2026-12-03T19:30:00.000000Z", end)
      .replaceAll(`/users/${invitee.id}`, `/users/HOST${index % HOSTS}`),
  );
}

function deliveryOf(body: string): Delivery {
  const { identity } = readDelivery(Buffer.from(body));
  return { identity, body, receivedAt: new Date().toISOString(), origin: "webhook" };
}

/** One real booking, then copies of it, with their index entries and their hosts' times. */
async function fill(store: Store, count: number): Promise<void> {
  const { redis, fold } = store;
  const shard = shards.first;
  const template = newInvitee();
  await fold.delivery(deliveryOf(createdBody(template)), context);
  const record = (await redis.hget(bookingKey(shard, template.id), "record")) ?? "";
  const expires = Date.now() + 200 * DAY_MS;
  for (let done = 0; done < count; ) {
    const step = redis.pipeline();
    for (const end = Math.min(done + 2_000, count); done < end; done++) {
      const { id } = newInvitee();
      step.hset(bookingKey(shard, id), { version: "1", record: record.replaceAll(template.id, id) });
      step.pexpireat(bookingKey(shard, id), expires);
      step.set(indexKey(shard, id), id, "PXAT", expires);
      const from = Date.parse("2030-01-01T00:00:00Z") + Math.floor(done / HOSTS) * 3_600_000 + 1_800_000;
      const host = `${shard.tag}:host:HOST${done % HOSTS}`;
      const entry = { version: 1, start: from, end: from + 1_500_000, taken: "{}" };
      step.hset(`${host}:bookings`, { ":longest": "1800000", [id]: JSON.stringify(entry) });
      step.zadd(`${host}:times`, from, id);
      step.zadd(`${host}:expiry`, expires, id);
    }
    await step.exec();
  }
}

async function round(store: Store, from: number): Promise<void> {
  const deliveries = Array.from({ length: BOOKINGS_PER_ROUND }, (_, index) => bodiesOf(from + index).map(deliveryOf));
  const cpu = process.cpuUsage();
  const started = performance.now();
  for (const [created, canceled] of deliveries) {
    if (created === undefined || canceled === undefined) throw new TypeError("a booking has two facts here");
    const results = [await store.fold.delivery(created, context), await store.fold.delivery(canceled, context)];
    if (results.join() !== "folded,folded") throw new Error(`expected both facts to be folded, got ${results.join()}`);
  }
  const facts = deliveries.length * 2;
  const used = process.cpuUsage(cpu);
  store.wallUs.push(((performance.now() - started) * 1_000) / facts);
  store.cpuUs.push((used.user + used.system) / facts);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const server = await startRedis({ appendfsync: "everysec" });
const stores: Store[] = [];
try {
  for (const [database, count] of [FEW, MANY].entries()) {
    const redis = await connectRedis(`${server.url}/${database}`);
    stores.push({ name: count.toLocaleString("en"), redis, fold: foldOn(redis), wallUs: [], cpuUs: [] });
  }
  const [few, many] = stores as [Store, Store];
  say(`Filling one store with ${few.name} bookings, another with ${many.name} …`);
  await fill(few, FEW);
  await fill(many, MANY);
  say(`Folding and committing ${BOOKINGS_PER_ROUND * 2} facts in each, in turns, ${ROUNDS} times …\n`);
  for (let turn = -2; turn < ROUNDS; turn++) {
    // Whoever begins has the colder caches.
    for (const store of turn % 2 === 0 ? [few, many] : [many, few]) await round(store, (turn + 2) * BOOKINGS_PER_ROUND);
    // The first rounds are for the compiler.
    if (turn < 0) for (const store of stores) for (const values of [store.wallUs, store.cpuUs]) values.length = 0;
  }
  say("bookings stored   µs per fact   CPU of the worker, µs per fact");
  for (const { name, wallUs, cpuUs } of stores) {
    say(`${name.padStart(15)}   ${median(wallUs).toFixed(0).padStart(11)}   ${median(cpuUs).toFixed(0).padStart(30)}`);
  }
  const ratio = (of: "wallUs" | "cpuUs") => (median(many[of]) / median(few[of])).toFixed(2);
  say(`${"ratio".padStart(15)}   ${ratio("wallUs").padStart(11)}   ${ratio("cpuUs").padStart(30)}`);
} finally {
  for (const { redis } of stores) disconnect(redis);
  await server.stop();
}
process.exit();
