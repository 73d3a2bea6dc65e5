import { bookingKey } from "@calendly-worker/core/redis/keys";
import { primariesOf } from "@calendly-worker/core/redis/nodes";
import { until } from "../support/until.ts";
import type { Installation } from "./installation.ts";

/** What Redis holds, in numbers. */
export interface Holding {
  readonly keys: number;
  readonly mb: number;
}

export interface AfterRetention {
  readonly before: Holding;
  readonly after: Holding;
  /** What of before is still there: keys that are named after something, and streams that were not trimmed. */
  readonly left: readonly string[];
}

/** Later than anything that the load makes, and its retention. */
const TEN_YEARS_S = 10 * 365 * 86_400;
const DAY_MS = 86_400_000;
const FIRST_START = Date.parse("2040-01-02T15:00:00Z");
const PATIENCE = { deadlineMs: 120_000, everyMs: 200 };
const SOMEBODY = { eventType: "intro", name: "Somebody new", email: "new@example.org" };
/** Outcomes that may be there in the end. */
const MOST_NEW = 200;
/** Bookings, events and deliveries are named by one; what an installation always has is not. */
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;

export async function holdingOf({ redis }: Pick<Installation, "redis">): Promise<Holding> {
  const [keys, info] = await Promise.all([redis.dbsize(), redis.info("memory")]);
  return { keys, mb: Number(/used_memory:(\d+)/.exec(info)?.[1] ?? 0) / 2 ** 20 };
}

/** Lets an idle installation go on ten years later, with a few more bookings, and looks at what is left of before. */
export async function goOnInTenYears(installation: Installation): Promise<AfterRetention> {
  const { simulator, redis, shards } = installation;
  const before = await holdingOf(installation);
  const old = new Set(await expire(installation, Date.now() + TEN_YEARS_S * 1_000));
  await installation.goAhead(TEN_YEARS_S);
  // Hosts and event types are the same as before.
  const { hosts, eventTypes } = simulator.account.catalog;
  const lasting = [...hosts, ...eventTypes].map(({ uri }) => uri.slice(uri.lastIndexOf("/") + 1));
  const leftOf = async () => {
    const isOld = (name: string) => old.has(name) && UUID.test(name) && !lasting.some((id) => name.includes(id));
    const named = (await namesIn(installation)).filter(isOld);
    const streams = shards.all.map(({ tag }) => `${tag}:outcomes`);
    const lengths = await Promise.all(streams.map((stream) => redis.xlen(stream)));
    return [...named, ...streams.filter((_, index) => (lengths[index] ?? 0) > MOST_NEW)];
  };
  let start = FIRST_START;
  const isRid = async () => {
    // Finished jobs go, a thousand at a time, when another one finishes.
    start += DAY_MS;
    const { id } = simulator.account.book({ ...SOMEBODY, start: new Date(start).toISOString() });
    await until("the new booking is there", () => redis.exists(bookingKey(shards.of(id), id)));
    return (await leftOf()).length === 0;
  };
  await until("nothing of before is left", isRid, PATIENCE).catch(() => {});
  return { before, after: await holdingOf(installation), left: await leftOf() };
}

/** Does what Redis does until then: drops what has expired. Gives the names of all that there was. */
async function expire({ redis }: Installation, atMs: number): Promise<string[]> {
  const all: string[] = [];
  for (const node of primariesOf(redis)) {
    for await (const names of node.scanStream({ count: 1_000 }) as AsyncIterable<string[]>) {
      all.push(...names);
      const times = await Promise.all(names.map((name) => node.pexpiretime(name)));
      const expired = names.filter((_, index) => (times[index] ?? -1) >= 0 && (times[index] ?? 0) <= atMs);
      await Promise.all(expired.map((name) => node.unlink(name)));
    }
  }
  return all;
}

async function namesIn({ redis }: Installation): Promise<string[]> {
  const all: string[] = [];
  for (const node of primariesOf(redis)) {
    for await (const names of node.scanStream({ count: 10_000 }) as AsyncIterable<string[]>) all.push(...names);
  }
  return all;
}
