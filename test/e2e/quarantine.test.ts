import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { emptyRedis } from "../support/whole-redis.ts";

const DAY_MS = 86_400_000;
const RETENTION_DAYS = 10;

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});
afterAll(async () => {
  disconnect(redis);
  await server?.stop();
});

/** A quarantine as it is a number of days from now. */
function quarantineIn(days: number) {
  const now = () => Date.now() + days * DAY_MS;
  const quarantine = createQuarantine({
    redis,
    shards: createShards(1),
    retentionDays: RETENTION_DAYS,
    now,
  });
  const keep = (id: string, daysAgo: number) =>
    quarantine.keep({
      id,
      reason: "chain_malformed",
      problems: [],
      receivedAt: new Date(now() - daysAgo * DAY_MS).toISOString(),
      body: Buffer.from("{}"),
    });
  const ids = async () => (await quarantine.list(10)).map(({ id }) => id);
  return { quarantine, keep, ids, count: () => quarantine.count(now()) };
}

test.each([
  ["for the retention, counted from when it came", 1, RETENTION_DAYS - 1],
  ["for a week at least, however long ago it came", 5, 7],
  ["for a week at least, also where it came before the retention", 25, 7],
])("what is put in quarantine is there %s", async (_how, daysAgo, stays) => {
  await emptyRedis(redis);
  const { quarantine, keep, ids, count } = quarantineIn(0);
  await keep("one", daysAgo);
  expect(await quarantine.get("one")).toMatchObject({ id: "one" });
  expect({ ids: await ids(), count: await count() }).toEqual({ ids: ["one"], count: 1 });

  // Whatever comes after it.
  await quarantineIn(stays - 0.1).keep("another", 0);
  expect(await ids()).toEqual(["another", "one"]);
  expect(await quarantineIn(stays - 0.1).count()).toBe(2);
  expect(await quarantineIn(stays + 0.1).count()).toBe(1);
  // By then Redis has dropped it.
  const left = await redis.pexpiretime("{calendly:0}:quarantine:entry:one");
  expect(Math.abs(left - Date.now() - stays * DAY_MS)).toBeLessThan(DAY_MS / 10);
});
