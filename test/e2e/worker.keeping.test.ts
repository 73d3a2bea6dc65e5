import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import { conferenceLinks, missingHalves } from "@calendly-worker/core/queues/contracts";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { readGroups } from "@calendly-worker/core/store/outcome-groups";
import { createOutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Fold } from "../../apps/worker/src/fold.ts";
import { findMissingHalf } from "../../apps/worker/src/jobs/find-missing-half.ts";
import { lookAfterUnfinished } from "../../apps/worker/src/jobs/look-after-unfinished.ts";
import { createUnfinished } from "../../apps/worker/src/unfinished.ts";
import { DEMO_TOKEN } from "../simulator/simulator.ts";
import { silent } from "../support/connect-redis.ts";
import { openGate } from "../support/open-gate.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type StackWithCalendly, startStackWithCalendly } from "../support/stack.ts";
import { until } from "../support/until.ts";

const DAY_MS = 86_400_000;
const PRIYA = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
const shards = createShards(1);
const context: JobContext = {
  id: "1",
  name: "test",
  shard: shards.first,
  attempt: 12,
  isLastAttempt: true,
  starts: 12,
  signal: new AbortController().signal,
  log: silent,
};

let server: RedisServer;
let stack: StackWithCalendly;

beforeAll(async () => {
  server = await startRedis();
  // Nobody asks for what is missing: that is what the tests do themselves.
  stack = await startStackWithCalendly(server.url, 6_101, {
    CALENDLY_MISSING_HALF_GRACE: "3600",
    CALENDLY_BOOKING_RETENTION_DAYS: "30",
    CALENDLY_REFERENCE_FIELD: "utm_source",
  });
});

afterAll(async () => {
  await stack?.stop();
  await server?.stop();
});

const book = (day: string) =>
  stack.simulator.account.book({
    ...PRIYA,
    eventType: "intro",
    start: `2030-03-${day}T15:00:00Z`,
    tracking: { utm_source: "order-7" },
  });
const storeAt = (now: number) =>
  createBookingStore({ redis: stack.redis, shards, retentionDays: 30, referenceField: "utm_content", now: () => now });

describe("what is kept of a booking", () => {
  test("expires with the retention, counted from the end of its event", async () => {
    const invitee = book("01");
    await stack.deliver(invitee);
    const expected = Date.parse(invitee.event.end) + 30 * DAY_MS;
    const host = invitee.event.hosts[0]?.uri.split("/").at(-1);
    const keys = [`booking:${invitee.id}`, `index:${invitee.id}`, `host:${host}:times`, `host:${host}:bookings`];
    for (const key of keys)
      expect([key, await stack.redis.pexpiretime(`{calendly:0}:${key}`)]).toEqual([key, expected]);
    const [event] = await stack.outcomes.untilThere([`${invitee.id}.confirmed`]);
    expect(event).toMatchObject({ data: { booking: { reference: "order-7" } } });
  });

  test("lasts as long as its latest event", async () => {
    const first = book("02");
    const second = stack.simulator.account.reschedule(first.id, "2030-04-20T15:00:00Z");
    await stack.deliver(first);
    await stack.deliver(second);
    const expected = Date.parse(second.event.end) + 30 * DAY_MS;
    expect(await stack.redis.pexpiretime(`{calendly:0}:booking:${first.id}`)).toBe(expected);
  });

  test("is nothing that waits for ever: a half without its other expires too", async () => {
    const first = book("03");
    const second = stack.simulator.account.reschedule(first.id, "2030-03-20T15:00:00Z");
    stack.simulator.setFaults({ api: "down" });
    await stack.deliver(second, "invitee.created");
    const expected = Date.parse(second.event.end) + 30 * DAY_MS;
    expect(await stack.redis.pexpiretime(`{calendly:0}:waiting:${first.id}`)).toBe(expected);
    // Calendly is asked again, and what is told then is told before the tests that count outcomes.
    stack.simulator.setFaults({ api: "well" });
    await stack.outcomes.untilThere([`${first.id}.confirmed`, `${second.id}.rescheduled`]);
  });
});

describe("what waits for its booking", () => {
  test("leaves it listed among those of which something is missing when it is taken up", async () => {
    const { account } = stack.simulator;
    const first = book("25");
    const second = account.reschedule(first.id, "2030-03-26T15:00:00Z");
    const third = account.reschedule(second.id, "2030-03-27T15:00:00Z");
    stack.simulator.setFaults({ api: "down" });
    await stack.deliver(second, "invitee.canceled");
    await stack.deliver(first, "invitee.created");
    await until("nothing waits", async () => (await stack.redis.exists(`{calendly:0}:waiting:${first.id}`)) === 0);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", first.id)).not.toBeNull();
    stack.simulator.setFaults({ api: "well" });
    await stack.deliver(third, "invitee.created");
    await stack.outcomes.untilThere([`${third.id}.rescheduled`]);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", first.id)).toBeNull();
  });

  test("is what was delivered, whatever Calendly's API says of it meanwhile", async () => {
    const bookings = storeAt(Date.now());
    const delivered = {
      identity: "invitee.created/SOMEBODY",
      body: { from: "Calendly" },
      receivedAt: new Date().toISOString(),
      origin: "webhook",
    } as const;
    const asked = { ...delivered, body: { from: "its API" }, origin: "reconcile" } as const;
    for (const delivery of [asked, delivered, asked]) {
      await bookings.findOrWait("NOBODY", delivery, { canBeAsked: false });
    }
    expect(await bookings.waitingFor("NOBODY")).toEqual([delivered]);
    await bookings.clearWaiting("NOBODY", delivered);
  });
});

/** Who looks after what is missing, at a time to come. */
function lookingAt(later: number) {
  const pending = { redis: stack.redis, shards, log: silent };
  const halves = createPendingJobs({ ...pending, contract: missingHalves });
  const links = createPendingJobs({ ...pending, contract: conferenceLinks });
  const unfinished = createUnfinished({
    shards,
    halves,
    links,
    missingHalfGraceMs: 3_600_000,
    conferenceLinkIntervalMs: 30_000,
    now: () => later,
  });
  return {
    look: lookAfterUnfinished({ shards, bookings: storeAt(later), unfinished }),
    close: async () => void (await Promise.all([halves.close(), links.close()])),
  };
}

/** Asks Calendly as a job does, and folds by `fold`. */
function asking(fold: Fold) {
  const client = createCalendlyClient({
    gate: openGate(DEMO_TOKEN),
    baseUrl: stack.simulator.url,
    timeoutMs: 5_000,
    totalTimeoutMs: 20_000,
    signal: new AbortController().signal,
  });
  return findMissingHalf({ client, bookings: storeAt(Date.now()), fold, now: Date.now });
}

const listed = async () => (await storeAt(Date.now()).incomplete(shards.first)).map(({ id }) => id);

describe("what is missing", () => {
  test("is looked after when the job that asks for it was lost", async () => {
    const first = book("05");
    const second = stack.simulator.account.reschedule(first.id, "2030-03-22T15:00:00Z");
    await stack.deliver(first, "invitee.canceled");
    const jobId = second.uri.replaceAll(":", "_");
    const job = `{calendly:0}:missing-halves:${jobId}`;
    expect(await stack.redis.exists(job)).toBe(1);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", first.id)).not.toBeNull();
    await stack.redis.del(job);
    await stack.redis.zrem("{calendly:0}:missing-halves:delayed", jobId);

    const { look, close } = lookingAt(Date.now() + DAY_MS);
    expect(await look(context)).toMatch(/^looked after [1-9]/);
    expect(await stack.redis.exists(job)).toBe(1);
    // Not again until a while has passed.
    expect(await look(context)).toBe("looked after 0");
    await close();
  });

  test("is taken off the list where somebody has told of it before it was listed", async () => {
    const invitee = book("07");
    await stack.deliver(invitee);
    await stack.outcomes.untilThere([`${invitee.id}.confirmed`]);
    const bookings = storeAt(Date.now());
    await bookings.listIncomplete(invitee.id, { isAnswered: false });
    expect(await listed()).toContain(invitee.id);
    const { look, close } = lookingAt(Date.now() + DAY_MS);
    await look(context);
    expect(await listed()).not.toContain(invitee.id);
    await close();
  });

  test("is listed as incomplete when it was asked for in vain, and is not when it comes after all", async () => {
    const { account } = stack.simulator;
    const first = book("06");
    const second = account.reschedule(first.id, "2030-03-23T15:00:00Z");
    await stack.deliver(first, "invitee.canceled");
    const ask = asking({
      delivery: () => Promise.reject(new Error("nothing was to be folded")),
      gone: () => Promise.reject(new Error("nobody was to be gone")),
    });
    account.forget(second.id);
    const job = ask({ inviteeUri: second.uri, isPassed: false }, context);
    await expect(job).rejects.toThrow("Calendly does not know the new invitee of a reschedule");
    expect(await listed()).toContain(first.id);
    await stack.deliver(second, "invitee.created");
    await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
    expect(await listed()).not.toContain(first.id);
  });
});

describe("what Calendly tells of and is not taken up", () => {
  const HOUR_MS = 3_600_000;

  test("is asked for again after a quarter of an hour, and then once a day, until it comes after all", async () => {
    const first = book("08");
    const second = stack.simulator.account.reschedule(first.id, "2030-03-24T15:00:00Z");
    await stack.deliver(first, "invitee.canceled");
    const ask = asking({
      delivery: async () => "out_of_scope",
      gone: () => Promise.reject(new Error("nobody was to be gone")),
    });
    const askOnce = () =>
      ask({ inviteeUri: second.uri, isPassed: false }, { ...context, attempt: 1, isLastAttempt: false });
    const lookedAfterIn = async () =>
      Number(await stack.redis.zscore("{calendly:0}:unfinished", first.id)) - Date.now();

    expect(await askOnce()).toBe("out_of_scope");
    expect(await listed()).toContain(first.id);
    expect(await lookedAfterIn()).toBeLessThan(HOUR_MS);
    await askOnce();
    expect(await lookedAfterIn()).toBeGreaterThan(23 * HOUR_MS);
    // Whoever has added that job may note only now when to look again.
    await storeAt(Date.now()).lookLater(first.id, true);
    expect(await lookedAfterIn()).toBeGreaterThan(23 * HOUR_MS);
    expect(await listed()).toContain(first.id);

    await stack.deliver(second, "invitee.created");
    await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
    expect(await listed()).not.toContain(first.id);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", first.id)).toBeNull();
  });

  test("is no longer listed once nothing of its booking is there", async () => {
    const first = book("09");
    const second = stack.simulator.account.reschedule(first.id, "2030-03-25T15:00:00Z");
    await stack.deliver(first, "invitee.canceled");
    const bookings = storeAt(Date.now());
    await bookings.listIncomplete(first.id, { isAnswered: true });
    await bookings.listIncomplete(first.id, { isAnswered: true });
    await stack.redis.del(`{calendly:0}:booking:${first.id}`, `{calendly:0}:index:${second.id}`);
    const { look, close } = lookingAt(Date.now() + 2 * DAY_MS);
    await look(context);
    await close();
    expect(await listed()).not.toContain(first.id);
  });
});

describe("the stream of outcomes", () => {
  const trimAfter = (days: number) =>
    createOutcomeTrimmer({
      redis: stack.redis,
      retentionDays: 30,
      maxAgeDays: 60,
      now: () => Date.now() + days * DAY_MS,
    }).trim(shards.first);
  const STREAM = "{calendly:0}:outcomes";

  test("is trimmed by age, but not past what a consumer group has still to handle", async () => {
    const { redis } = stack;
    // The worker's own group counts as well.
    await until("it has handled all", async () => {
      const own = (await readGroups(redis, shards.first)).find(({ group }) => group === "push");
      return own?.unread === 0 && own.pending === 0;
    });
    const length = await redis.xlen(STREAM);
    expect(length).toBeGreaterThan(3);
    expect(await trimAfter(29)).toEqual({ dropped: 0, lost: [], lagging: [] });

    await redis.xgroup("CREATE", STREAM, "mailer", "0");
    const reply = await redis.xreadgroup("GROUP", "mailer", "one", "COUNT", 2, "STREAMS", STREAM, ">");
    const [handled = ""] = (reply as unknown as [string, [string, string[]][]][])[0]?.[1].map(([id]) => id) ?? [];
    await redis.xack(STREAM, "mailer", handled);
    expect(await trimAfter(31)).toEqual({ dropped: 1, lost: [], lagging: ["mailer"] });
    expect(await trimAfter(59)).toEqual({ dropped: 0, lost: [], lagging: ["mailer"] });
    // The maximum age is the end for a group that nobody reads any more.
    expect(await trimAfter(61)).toEqual({ dropped: length - 1, lost: ["mailer"], lagging: ["mailer"] });
    expect(await redis.xlen(STREAM)).toBe(0);
  });
});
