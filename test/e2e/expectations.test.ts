import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createBookingSearch } from "@calendly-worker/core/store/booking-search";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createExpectations, type Expectations } from "@calendly-worker/core/store/expectations";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type OutcomeLog, openOutcomeLog } from "../support/stack.ts";

let server: RedisServer;
let redis: Redis;
let outcomes: OutcomeLog;
let expectations: Expectations;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  outcomes = await openOutcomeLog(redis);
  const about = { redis, shards: createShards(1), retentionDays: 90, referenceField: "utm_content", now: Date.now };
  const search = createBookingSearch({ ...about, bookings: createBookingStore(about) });
  expectations = createExpectations({ ...about, search });
});

afterAll(async () => {
  if (redis !== undefined) disconnect(redis);
  await server?.stop();
});

const HOW_MANY = 250;

test("all expectations whose time is over are told in one run, however many; a worker that stops leaves them", async () => {
  const references = Array.from({ length: HOW_MANY }, (_, index) => `order-${String(index).padStart(3, "0")}`);
  const past = Date.now() - 1_000;
  for (const reference of references) await expectations.announce(reference, past);
  await expectations.announce("later", Date.now() + 3_600_000);

  await expect(expectations.expire(AbortSignal.abort())).rejects.toThrow("aborted");
  expect(await expectations.counts()).toEqual({ waiting: HOW_MANY + 1, completed: 0, expired: 0 });

  expect(await expectations.expire(new AbortController().signal)).toBe(HOW_MANY);
  expect(await expectations.counts()).toEqual({ waiting: 1, completed: 0, expired: HOW_MANY });
  const told = await outcomes.all();
  expect(told.map(({ type }) => type)).toEqual(references.map(() => "booking.expectation_expired"));
  expect(told.map(({ subject }) => subject)).toEqual(references);
  expect(await expectations.expire(new AbortController().signal)).toBe(0);
});
