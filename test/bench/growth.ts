import { randomUUID } from "node:crypto";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import type { Redis } from "@calendly-worker/core/redis/connect";
import {
  bookingKey,
  createShards,
  hostBookingsKey,
  hostExpiryKey,
  hostTimesKey,
  indexKey,
  knownInviteesKey,
  lookupExpiryKey,
  lookupKey,
  outcomeStreamKey,
} from "@calendly-worker/core/redis/keys";
import { idsUnder } from "@calendly-worker/core/redis/scan";
import { startText } from "@calendly-worker/core/store/lookups";
import { DEMO_TOKEN, startSimulator } from "../simulator/simulator.ts";
import { until } from "../support/until.ts";
import { bodiesOf, enqueueAll, factsOf } from "./bookings.ts";
import { type Contender, contend } from "./contenders.ts";
import { type Drained, drain, startWorker } from "./drain.ts";
import { type Figure, figure } from "./figures.ts";
import { type Cost, costOf } from "./ingest.ts";
import { median } from "./stats.ts";
import { memoryOf, openStore, type Store } from "./stores.ts";

// What a delivery and a fact cost with few deliveries waiting, bookings stored and identities remembered, and with many;
// and what each of them takes of Redis' memory.

const PART = "growth";
const CONNECTIONS = 32;
const shard = createShards(1).first;
const QUEUE = `${shard.tag}:${deliveries.name}`;
/** BullMQ's keys for what it is not to take again. */
const IDENTITIES = `${QUEUE}:de:`;
const HOSTS = 100;
const DAY_MS = 86_400_000;
const BATCH = 1_000;

interface Grown extends Store {
  readonly size: number;
  readonly costs: Cost[];
  readonly paced: Cost[];
  readonly drained: Drained[];
}

export async function measureGrowth(options: {
  readonly sizes: readonly number[];
  readonly rounds: number;
  /** Deliveries, and facts, a round. */
  readonly count: number;
  readonly say: (line: string) => void;
}): Promise<Figure[]> {
  const { sizes, rounds, count, say } = options;
  const simulator = await startSimulator({ seed: 2, rateLimit: 1_000_000 });
  const calendly = { url: simulator.url, token: DEMO_TOKEN };
  const eventType = simulator.account.catalog.eventTypes[0]?.uri ?? "";
  const stores: Grown[] = [];
  try {
    for (const size of sizes) {
      const store = await openStore();
      stores.push({ ...store, size, costs: [], paced: [], drained: [] });
      say(`growth: filling a store with ${size.toLocaleString("en")} of each …`);
      await fill(store, size, calendly, eventType);
    }
    const contenders: Contender[] = [];
    for (const store of stores) contenders.push(await contend("ours", { ...store, stop: async () => {} }));
    for (const one of contenders) await costOf(one, { count, connections: CONNECTIONS });
    const turns = stores.map((store, index) => [store, contenders[index] as Contender] as const);
    say(`growth: ${count} deliveries each, ${rounds} rounds …`);
    for (let round = 0; round < rounds; round++) {
      for (const [store, one] of round % 2 === 0 ? turns : turns.toReversed())
        store.costs.push(await costOf(one, { count, connections: CONNECTIONS }));
    }
    const perSecond = median((stores[0]?.costs ?? []).map((cost) => cost.perSecond)) / 2;
    for (let round = 0; round < rounds; round++) {
      for (const [store, one] of round % 2 === 0 ? turns : turns.toReversed())
        store.paced.push(await costOf(one, { count, connections: 2 * CONNECTIONS, perSecond }));
    }
    for (const one of contenders) await one.stop();
    say(`growth: ${count} facts each, ${rounds} rounds …`);
    for (let round = 0; round < rounds; round++) {
      for (const store of round % 2 === 0 ? stores : stores.toReversed()) {
        const facts = factsOf(Math.ceil(count / 2), eventType);
        await enqueueAll(store.redis, facts);
        // What has just come is worked off first: what waits before it is many times the same.
        for (let at = 0; at < facts.length; at++)
          await store.redis.lmove(`${QUEUE}:wait`, `${QUEUE}:wait`, "LEFT", "RIGHT");
        const queue = { redis: store.redis, prefix: QUEUE, count: facts.length };
        const { server, drained } = await drain(() => startWorker(store.url, calendly), queue);
        await server.stop();
        store.drained.push(drained);
      }
    }
    for (const line of commandsCompared(stores)) say(line);
    return [...sizesCompared(stores), ...(await measureBytes(count, calendly, eventType, say))];
  } finally {
    for (const store of stores) await store.stop();
    await simulator.close();
  }
}

/** Where the time of Redis goes for a fact, by what it counts itself, the costliest commands first; a script's hold its commands'. */
function commandsCompared(stores: readonly Grown[]): string[] {
  const most = stores.at(-1)?.drained[0]?.commandsUs ?? new Map();
  const medianOf = ({ drained }: Grown, name: string) =>
    median(drained.map(({ commandsUs }) => commandsUs.get(name) ?? 0)).toFixed(1);
  const lines = [...most]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 15)
    .map(([name]) => `  ${name.padEnd(20)}${stores.map((store) => medianOf(store, name).padStart(12)).join("")}`);
  const sizes = stores.map(({ size }) => size.toLocaleString("en").padStart(12)).join("");
  return [`growth: µs of Redis for a fact, by command, with so many of each`, `  ${"".padEnd(20)}${sizes}`, ...lines];
}

function sizesCompared([few, ...more]: readonly Grown[]): Figure[] {
  if (few === undefined) return [];
  const name = `with ${few.size.toLocaleString("en")}`;
  return more.flatMap((store) => {
    const biggest = store === more.at(-1) ? { atMost: 1.15 } : {};
    const line = <T>(what: string, unit: string, of: (grown: Grown) => readonly T[], value: (one: T) => number) =>
      figure(
        { part: PART, what: `${what}, with ${store.size.toLocaleString("en")}`, unit, ...biggest },
        of(store).map(value),
        { name, values: of(few).map(value) },
      );
    return [
      line(
        "CPU per delivery",
        "µs",
        ({ costs }) => costs,
        ({ cpuUs }) => cpuUs,
      ),
      line(
        "CPU of Redis per delivery",
        "µs",
        ({ costs }) => costs,
        ({ redisUs }) => redisUs,
      ),
      line(
        "p99 at half of what is taken",
        "ms",
        ({ paced }) => paced,
        ({ ms }) => ms.p99,
      ),
      line(
        "CPU per fact",
        "µs",
        ({ drained }) => drained,
        ({ cpuUs }) => cpuUs,
      ),
      line(
        "CPU of Redis per fact",
        "µs",
        ({ drained }) => drained,
        ({ redisUs }) => redisUs,
      ),
    ];
  });
}

/**
 * One real delivery and one real booking, and then copies of all that they left in Redis, each under ids of its own and at
 * an hour of its host's of its own.
 */
async function fill(
  { redis, url }: Store,
  size: number,
  calendly: Parameters<typeof startWorker>[1],
  eventType: string,
) {
  const [fact = ""] = factsOf(1, eventType);
  const bookingId = String(/"cancel_url":"[^"]*\/([^"/]+)"/.exec(fact)?.[1]);
  await enqueueAll(redis, [fact]);
  const worker = startWorker(url, calendly);
  const key = bookingKey(shard, bookingId);
  const record = await until("the fact is folded", () => redis.hget(key, "record"));
  const taken = await until("its host's time is taken", () => redis.hget(hostBookingsKey(shard, "HOST0"), bookingId));
  await worker.stop();
  const lookups = (await redis.hget(key, "lookups")) ?? "";
  const { start, end: over, taken: what } = JSON.parse(taken);
  const [waiting] = bodiesOf(1);
  await enqueueAll(redis, [waiting]);
  const jobId = (await redis.lindex(`${QUEUE}:wait`, 0)) ?? "";
  const job = await redis.hgetall(`${QUEUE}:${jobId}`);
  const expires = Date.now() + 200 * DAY_MS;
  for (let done = 0; done < size; ) {
    const step = redis.pipeline();
    for (const end = Math.min(done + BATCH, size); done < end; done++) {
      const id = randomUUID();
      const as = (text: string) => text.replaceAll(bookingId, id);
      step.hset(`${QUEUE}:${id}`, job);
      step.lpush(`${QUEUE}:wait`, id);
      step.set(`${IDENTITIES}invitee.created/${id}`, jobId, "PX", DAY_MS);
      const from = Date.parse("2040-01-01T00:00:00Z") + Math.floor(done / HOSTS) * 3_600_000;
      const lookup = as(lookups).replaceAll(startText(start), startText(from));
      step.hset(bookingKey(shard, id), { version: "1", record: as(record), lookups: lookup });
      step.pexpireat(bookingKey(shard, id), expires);
      step.zadd(lookupKey(shard), ...lookup.split("\n").flatMap((member) => ["0", member]));
      step.zadd(lookupExpiryKey(shard), expires, lookup);
      step.set(indexKey(shard, id), id, "PXAT", expires);
      const invitees = knownInviteesKey(shard, randomUUID());
      step.hset(invitees, id, "active");
      step.pexpireat(invitees, expires);
      const host = `HOST${done % HOSTS}`;
      const entry = JSON.stringify({ version: 1, start: from, end: from + over - start, taken: as(what) });
      step.hset(hostBookingsKey(shard, host), { ":longest": String(over - start), [id]: entry });
      step.zadd(hostTimesKey(shard, host), from, id);
      step.zadd(hostExpiryKey(shard, host), expires, id);
    }
    await step.exec();
  }
}

async function dropUnder(redis: Redis, prefix: string): Promise<void> {
  for await (const id of idsUnder(redis, prefix)) await redis.del(`${prefix}${id}`);
}

/** Bytes of Redis for each thing that is kept: what is used with many of them less what is used without. */
async function measureBytes(
  count: number,
  calendly: Parameters<typeof startWorker>[1],
  eventType: string,
  say: (line: string) => void,
): Promise<Figure[]> {
  say("growth: bytes …");
  const { redis, url, stop } = await openStore();
  try {
    const bookings = Math.ceil(count / 2);
    const created = factsOf(bookings, eventType).slice(0, bookings);
    const bodyBytes = created.reduce((sum, body) => sum + Buffer.byteLength(body), 0) / bookings;
    const empty = await memoryOf(redis);
    await enqueueAll(redis, created);
    const withAll = await memoryOf(redis);
    await dropUnder(redis, IDENTITIES);
    const withoutIdentities = await memoryOf(redis);
    const { server } = await drain(() => startWorker(url, calendly), { redis, prefix: QUEUE, count: bookings });
    await server.stop();
    await dropUnder(redis, QUEUE);
    await redis.del(outcomeStreamKey(shard));
    const withBookings = await memoryOf(redis);
    const line = (what: string, bytes: number, bound: { readonly atMost: number }) =>
      figure({ part: PART, what, unit: "bytes", ...bound }, [bytes / bookings]);
    return [
      figure(
        { part: PART, what: "a delivery that waits", unit: "bytes", atMost: 1.6 },
        [(withoutIdentities - empty) / bookings],
        { name: "its body", values: [bodyBytes] },
      ),
      line("an identity that is remembered", withAll - withoutIdentities, { atMost: 300 }),
      line("a booking, without its entries in the stream", withBookings - empty, { atMost: 3_000 }),
    ];
  } finally {
    await stop();
  }
}
