import type { TakenTime } from "@calendly-worker/core/bookings/conflicts";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, hostBookingsKey, hostPairsKey, hostPartnersKey } from "@calendly-worker/core/redis/keys";
import { createHostTimes, type HostTimes } from "@calendly-worker/core/store/host-times";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

const HOST = "https://api.calendly.com/users/";
const shards = createShards(1);

let server: RedisServer;
let redis: Redis;
let hostTimes: HostTimes;
let now = Date.parse("2030-01-01T00:00:00Z");

const openHostTimes = (connection: Redis, alternativesTo = async (): Promise<null> => null) =>
  createHostTimes({
    redis: connection,
    shards,
    retentionDays: 90,
    now: () => now,
    publishFrom: () => 0,
    alternativesTo,
  });

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  hostTimes = openHostTimes(redis);
});

afterAll(async () => {
  disconnect(redis);
  await server?.stop();
});

/** Tells what a booking takes of a host's time: an hour from `start` on, or nothing; gives the ids of what follows. */
const take = (host: string, bookingId: string, version: number, start?: string) =>
  takeOfAll({ hosts: [host], bookingId, version, start });

/** The same of several hosts, and of some who were its hosts before. */
async function takeOfAll(
  {
    hosts,
    left = [],
    bookingId,
    version,
    start,
  }: {
    readonly hosts: readonly string[];
    readonly left?: readonly string[];
    readonly bookingId: string;
    readonly version: number;
    readonly start: string | undefined;
  },
  by = hostTimes,
): Promise<string[]> {
  const eventUri = `https://api.calendly.com/scheduled_events/${bookingId}`;
  const end = start === undefined ? "" : new Date(Date.parse(start) + 3_600_000).toISOString();
  const taken: TakenTime | undefined =
    start === undefined
      ? undefined
      : {
          bookingId,
          version,
          eventUri,
          inviteeUri: `${eventUri}/invitees/${bookingId}`,
          since: "2029-12-01T00:00:00Z",
          start,
          end,
          busy: Object.fromEntries(hosts.map((host) => [HOST + host, { start, end }])),
        };
  const outcomes = await by.take({
    bookingId,
    version,
    hosts: [...left, ...hosts].toSorted().map((host) => HOST + host),
    taken,
    changedAt: "2029-12-02T00:00:00Z",
    origin: "webhook",
  });
  return outcomes.map(({ id }) => id);
}

test("what a booking took before it was moved takes nothing when it comes late", async () => {
  const [noon, evening] = ["2030-02-01T12:00:00Z", "2030-02-01T18:00:00Z"];
  expect(await take("slow", "moved", 2, evening)).toEqual([]);
  expect(await take("slow", "moved", 1, noon)).toEqual([]);
  expect(await take("slow", "at-noon", 1, noon)).toEqual([]);
  expect(await take("slow", "in-the-evening", 1, evening)).toHaveLength(1);
});

test("what is told of a host's last conflict does not outlive what the host has", async () => {
  now = Date.parse("2030-01-01T00:00:00Z");
  await take("LAST", "A", 1, "2030-01-02T10:00:00Z");
  await take("LAST", "B", 1, "2030-01-02T10:30:00Z");
  const end = await redis.pexpiretime(hostBookingsKey(shards.first, "LAST"));
  expect(end).toBeGreaterThan(now);
  for (const key of [hostPairsKey, hostPartnersKey])
    expect(await redis.pexpiretime(key(shards.first, "LAST"))).toBe(end);
});

test("two bookings that were in conflict are dropped together once their time is over", async () => {
  now = Date.parse("2030-01-01T00:00:00Z");
  await take("DROPPED", "A", 1, "2030-01-02T10:00:00Z");
  expect(await take("DROPPED", "B", 1, "2030-01-02T10:30:00Z")).toEqual(["A+B.conflict.2030-01-02T10:30:00Z.detected"]);
  now = Date.parse("2030-06-01T00:00:00Z");
  await take("DROPPED", "C", 1, "2030-06-02T10:00:00Z");
  expect(await redis.hlen(hostPairsKey(shards.first, "DROPPED"))).toBe(0);
  expect(await redis.hgetall(hostPartnersKey(shards.first, "DROPPED"))).toEqual({ ":pairs": "0" });
});

/** What the release before does: it knows nothing of the index of pairs. */
async function asReleaseBefore(host: string, work: () => Promise<void>): Promise<void> {
  const key = hostPartnersKey(shards.first, host);
  const index = await redis.dumpBuffer(key);
  await work();
  await redis.restore(key, 0, index, "REPLACE");
}

/** A host of whom the release before has dropped one pair, and told of another. */
async function rolledBackAndForth(host: string): Promise<void> {
  now = Date.parse("2030-01-01T00:00:00Z");
  await take(host, "A", 1, "2030-01-02T10:00:00Z");
  expect(await take(host, "B", 1, "2030-01-02T10:30:00Z")).toEqual(["A+B.conflict.2030-01-02T10:30:00Z.detected"]);
  now = Date.parse("2030-06-01T00:00:00Z");
  await asReleaseBefore(host, async () => {
    await take(host, "C", 1, "2030-06-02T10:00:00Z");
    expect(await take(host, "D", 1, "2030-06-02T10:30:00Z")).toEqual(["C+D.conflict.2030-06-02T10:30:00Z.detected"]);
  });
  expect(await redis.hkeys(hostPairsKey(shards.first, host))).toEqual(["C+D"]);
}

test("a conflict that the release before has told is resolved, though it has dropped another one", async () => {
  await rolledBackAndForth("CANCELED");
  expect(await take("CANCELED", "D", 2)).toEqual(["C+D.conflict.2030-06-02T10:30:00Z.resolved"]);
});

test("such a conflict that begins at another time by now is resolved, and told anew", async () => {
  await rolledBackAndForth("MOVED");
  expect(await take("MOVED", "D", 2, "2030-06-02T10:15:00Z")).toEqual([
    "C+D.conflict.2030-06-02T10:30:00Z.resolved",
    "C+D.conflict.2030-06-02T10:15:00Z.detected",
  ]);
});

test("a pair of which one is dropped is dropped, whoever has told of it", async () => {
  await rolledBackAndForth("FORGOTTEN");
  now = Date.parse("2031-01-01T00:00:00Z");
  await take("FORGOTTEN", "E", 1, "2031-01-02T10:00:00Z");
  await take("FORGOTTEN", "F", 1, "2031-01-02T10:30:00Z");
  expect(await redis.hkeys(hostPairsKey(shards.first, "FORGOTTEN"))).toEqual(["E+F"]);
});

test("a conflict that passes to another host, and back, has a new name each time, told behind the end of the one before", async () => {
  now = Date.parse("2030-01-01T00:00:00Z");
  const start = "2030-01-02T10:00:00Z";
  const name = `A+B.conflict.${start}`;
  const both = { hosts: ["PASSED-1", "PASSED-2"], start };
  expect(await takeOfAll({ ...both, bookingId: "A", version: 1 })).toEqual([]);
  expect(await takeOfAll({ ...both, bookingId: "B", version: 1 })).toEqual([`${name}.detected`]);
  const alone = { hosts: ["PASSED-2"], left: ["PASSED-1"], start };
  expect(await takeOfAll({ ...alone, bookingId: "A", version: 2 })).toEqual([`${name}.resolved`, `${name}.2.detected`]);
  expect(await takeOfAll({ ...both, bookingId: "A", version: 3 })).toEqual([
    `${name}.2.resolved`,
    `${name}.3.detected`,
  ]);
});

testWhere("a proxy", "no name is given twice by two workers of which one is just about to tell", async () => {
  now = Date.parse("2030-01-01T00:00:00Z");
  const start = "2030-01-02T10:00:00Z";
  const name = `A+B.conflict.${start}`;
  const both = ["RACED-1", "RACED-2"];
  await takeOfAll({ hosts: ["RACED-2"], bookingId: "A", version: 1, start });
  // One has seen that B is in conflict with A, of which the second host would tell.
  const [isAboutToTell, mayTell] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const telling = openHostTimes(redis, async () => {
    isAboutToTell.resolve();
    await mayTell.promise;
    return null;
  });
  const first = takeOfAll({ hosts: both, bookingId: "B", version: 1, start }, telling);
  await isAboutToTell.promise;
  // The other one adds the first host to A, and comes to the second one only now.
  const proxy = await startTcpProxy(server.port);
  const slow = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
  const held = proxy.holdAt("host:RACED-2:times", "before");
  const second = takeOfAll({ hosts: both, bookingId: "A", version: 2, start }, openHostTimes(slow));
  await held;
  mayTell.resolve();
  const told = await first;
  proxy.letGo();
  told.push(...(await second));
  disconnect(slow);
  await proxy.close();
  expect(told).toEqual([`${name}.detected`, `${name}.resolved`, `${name}.2.detected`]);
});
