import {
  createOutcomeConsumer,
  type OutcomeConsumer,
  type OutcomeConsumerOptions,
  type OutcomeEvent,
} from "@calendly-worker/core/outcomes";
import { toCursor } from "@calendly-worker/core/outcomes/cursor";
import { groupAcl } from "@calendly-worker/core/outcomes/group-acl";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import {
  createShards,
  groupDeadLettersKey,
  groupLeaseKey,
  groupMembersKey,
  outcomeStreamKey,
} from "@calendly-worker/core/redis/keys";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { forgetGroup } from "@calendly-worker/core/store/forget-group";
import { createNotices } from "@calendly-worker/core/store/notices";
import { createGroupShard, readDeadLetters, readGroups } from "@calendly-worker/core/store/outcome-groups";
import { createOutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { trimOutcomes } from "../../apps/worker/src/jobs/trim-outcomes.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { anOutcome, append, install } from "../support/outcome-stream.ts";
import { asUser } from "../support/redis-address.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { until } from "../support/until.ts";
import { callEach, emptyRedis } from "../support/whole-redis.ts";

const DAY_MS = 86_400_000;
const shards = createShards(1);
let server: RedisServer;
let redis: Redis;
const open: OutcomeConsumer[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});
beforeEach(async () => {
  await emptyRedis(redis);
  await install(redis, shards);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((consumer) => consumer.stop({ deadlineMs: 0 })));
});
afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

/** A consumer that runs, what it has handled, and how it ends. */
function consume(options: Partial<OutcomeConsumerOptions> = {}) {
  const handled: string[] = [];
  const consumer = createOutcomeConsumer({
    redis,
    group: "crm",
    leaseMs: 1_000,
    retry: { firstDelayMs: 20, longestDelayMs: 50 },
    onOutcome: async ({ id }) => {
      handled.push(id);
    },
    ...options,
  });
  open.push(consumer);
  const ended = consumer.run();
  ended.catch(() => {});
  return { consumer, handled, ended };
}

const publish = (...events: OutcomeEvent[]) => append(redis, shards, events);
const trimAfter = (days: number) =>
  createOutcomeTrimmer({ redis, retentionDays: 1, maxAgeDays: 2, now: () => Date.now() + days * DAY_MS }).trim(
    shards.first,
  );

test("an outcome that fails is tried again, then put aside with the reason; its booking waits, the others do not", async () => {
  await publish(anOutcome("bad", 1), anOutcome("bad", 2), anOutcome("good", 1), anOutcome("good", 2));
  const tries: string[] = [];
  const put: string[] = [];
  const { handled } = consume({
    maxAttempts: 3,
    onOutcome: async ({ id }, { attempt }) => {
      if (id === "bad.1") {
        tries.push(`${id} ${attempt}, after ${handled.length}`);
        if (attempt === 1) await until("the others are handled", () => handled.includes("good.2"));
        throw new RangeError("no such customer");
      }
      handled.push(id);
    },
    onDeadLetter: ({ id }, reason) => put.push(`${id}: ${reason}`),
  });
  await until("the booking goes on", () => handled.includes("bad.2"));
  expect(handled).toEqual(["good.1", "good.2", "bad.2"]);
  expect(tries).toEqual(["bad.1 1, after 0", "bad.1 2, after 2", "bad.1 3, after 2"]);
  expect(put).toEqual(["bad.1: RangeError: no such customer"]);
  expect(await readDeadLetters(redis, shards.first, "crm")).toMatchObject([
    {
      ...{ id: "bad.1", type: "booking.confirmed", subject: "bad", attempts: 3 },
      ...{ error: "RangeError", reason: "RangeError: no such customer" },
    },
  ]);
  const settled = async () => (await readGroups(redis, shards.first))[0]?.pending === 0;
  await until("all is acknowledged", settled);
});

test("tries are counted across consumers", async () => {
  await publish(anOutcome("bad"));
  const first = consume({
    maxAttempts: 3,
    retry: { firstDelayMs: 60_000, longestDelayMs: 60_000 },
    onOutcome: async () => {
      first.handled.push("tried");
      throw new Error("not now");
    },
  });
  const counted = async () => Object.values(await redis.hgetall("{calendly:0}:outcomes:group:crm:attempts"))[0] === "1";
  await until("the try is counted", counted);
  await first.consumer.stop();
  const attempts: number[] = [];
  consume({
    onOutcome: async (_outcome, { attempt }) => {
      attempts.push(attempt);
    },
  });
  await until("it is tried again", () => attempts.length > 0);
  expect(attempts).toEqual([2]);
});

test("reading waits while as many are in flight as may be", async () => {
  await publish(...Array.from({ length: 50 }, (_, index) => anOutcome(`b${index}`)));
  const gate = Promise.withResolvers<void>();
  const { handled } = consume({
    concurrency: 2,
    maxInFlight: 5,
    onOutcome: async ({ id }) => {
      await gate.promise;
      handled.push(id);
    },
  });
  const pending = async () => (await readGroups(redis, shards.first))[0]?.pending;
  await until("five are read", async () => (await pending()) === 5);
  await publish(anOutcome("later"));
  const lease = () => redis.pttl(groupLeaseKey(shards.first, "crm"));
  let [left, renewed] = [await lease(), 0];
  await until("the consumer has looked twice more", async () => {
    const before = left;
    left = await lease();
    if (left > before) renewed += 1;
    return renewed === 2;
  });
  expect(await pending()).toBe(5);
  gate.resolve();
  await until("all are handled", () => handled.length === 51);
});

test("a group begins where it is told to, and goes on from where it was", async () => {
  const [first = "", second = ""] = await publish(anOutcome("a"), anOutcome("b"));
  const later = Number(second.split("-")[0]) + 5;
  await until("the clock moves on", () => Date.now() > later + 1);
  const now = consume({ group: "now", start: "now" });
  await until("the group is there", async () => (await readGroups(redis, shards.first)).length === 1);
  await publish(anOutcome("c"));
  const groups = {
    beginning: consume({ group: "beginning" }),
    id: consume({ group: "id", start: { after: first } }),
    cursor: consume({ group: "cursor", start: { after: toCursor([second]) } }),
    time: consume({ group: "time", start: { time: new Date(later) } }),
  };
  for (const { handled } of [now, ...Object.values(groups)]) await until("c is handled", () => handled.includes("c.1"));
  expect(now.handled).toEqual(["c.1"]);
  expect(groups.beginning.handled).toEqual(["a.1", "b.1", "c.1"]);
  expect(groups.id.handled).toEqual(["b.1", "c.1"]);
  expect(groups.cursor.handled).toEqual(["c.1"]);
  expect(groups.time.handled).toEqual(["c.1"]);

  await now.consumer.stop();
  // Where it was told to begin is no matter any more, whatever that is.
  const again = consume({ group: "now", start: { after: "no cursor" } });
  await publish(anOutcome("d"));
  await until("d is handled", () => again.handled.includes("d.1"));
  expect(again.handled).toEqual(["d.1"]);
});

test("lag says how many wait, and how old the oldest is", async () => {
  const { consumer, handled } = consume();
  await publish(anOutcome("a"));
  await until("it is handled", () => handled.length === 1);
  await until("nothing is left", async () => (await consumer.lag())[0]?.pending === 0);
  expect(await consumer.lag()).toEqual([{ shard: 0, unread: 0, pending: 0, oldestAgeMs: 0 }]);

  const behind = createOutcomeConsumer({ redis, group: "behind", onOutcome: async () => {} });
  open.push(behind);
  await redis.xgroup("CREATE", outcomeStreamKey(shards.first), "behind", "0");
  await publish(anOutcome("b"));
  const lag = await until("there is some", async () => (await behind.lag()).find(({ unread }) => unread === 2));
  expect(lag.oldestAgeMs).toBeGreaterThan(0);
});

test("a group that has missed what was dropped is told so, and never left with a gap that it does not know of", async () => {
  const { consumer, handled } = consume();
  const [first = ""] = await publish(anOutcome("a"));
  await until("it is handled", () => handled.length === 1);
  await consumer.stop();
  await publish(anOutcome("b"), anOutcome("c"));
  expect(await trimAfter(3)).toMatchObject({ dropped: 3, lost: ["crm"] });
  const [oldest] = await publish(anOutcome("d"));

  await expect(consume().ended).rejects.toMatchObject({ name: "CursorExpiredError", code: "cursor_expired", oldest });
  await expect(consume({ group: "new", start: { after: first } }).ended).rejects.toMatchObject({
    code: "cursor_expired",
    oldest,
  });
  const errors: unknown[] = [];
  const going = consume({ whenExpired: "continue", onError: (error) => errors.push(error) });
  await until("it goes on", () => going.handled.includes("d.1"));
  expect(errors).toMatchObject([{ code: "cursor_expired" }]);
  const fresh = consume({ group: "fresh" });
  await until("one that begins now has missed nothing", () => fresh.handled.includes("d.1"));
});

test("what is pending behind outcomes that were erased comes before what is new", async () => {
  const group = createGroupShard(redis, shards.first, "crm");
  await group.ensure("0-0");
  await group.hold("one", 10_000, true);
  const published = await publish(anOutcome("a"), anOutcome("b"), anOutcome("c"), anOutcome("d"));
  expect(await group.read("one", "0-0", 10)).toHaveLength(4);
  const [first = "", second = "", third = ""] = published;
  for (const id of [second, third]) await redis.xdel(outcomeStreamKey(shards.first), id);
  await publish(anOutcome("new"));
  // One reads as many as it has room for.
  expect(await group.read("one", first, 1)).toMatchObject([{ event: { id: "d.1" } }]);
  expect(await group.read("one", published[3] ?? "", 1)).toMatchObject([{ event: { id: "new.1" } }]);
});

test("what a group had read and not handled when it was dropped counts as missed, what was erased does not", async () => {
  const gate = Promise.withResolvers<void>();
  const { consumer } = consume({ onOutcome: () => gate.promise });
  const [first = ""] = await publish(anOutcome("erased"), anOutcome("a"));
  const pending = async () => (await readGroups(redis, shards.first))[0]?.pending === 2;
  await until("both are read", pending);
  await consumer.stop({ deadlineMs: 0 });
  gate.resolve();

  await redis.xdel(outcomeStreamKey(shards.first), first);
  const next = consume();
  await until("the other is handled", () => next.handled.includes("a.1"));
  expect(next.handled).toEqual(["a.1"]);
  await next.consumer.stop();

  const held = consume({ onOutcome: () => new Promise(() => {}) });
  await publish(anOutcome("b"));
  await until("it is read", async () => (await readGroups(redis, shards.first))[0]?.pending === 1);
  await held.consumer.stop({ deadlineMs: 0 });
  await trimAfter(3);
  await expect(consume().ended).rejects.toMatchObject({ code: "cursor_expired" });
});

test("a group that lags is told of once a day from half the maximum age on, and once more when it has lost something", async () => {
  await publish(anOutcome("a"));
  await redis.xgroup("CREATE", outcomeStreamKey(shards.first), "crm", "0");
  const trim = (days: number) =>
    trimOutcomes({
      shards,
      trimmer: createOutcomeTrimmer({ redis, retentionDays: 1, maxAgeDays: 4, now: () => Date.now() + days * DAY_MS }),
      destinations: createDestinationStore(redis, Date.now),
      queues: { oldestWaiting: async () => new Map() },
      notices: createNotices(redis, Date.now),
      maxAgeDays: 4,
    })({} as JobContext);
  const notices = async () =>
    (await redis.xrange("{calendly:0}:notices", "-", "+")).map(([, fields]) => `${fields[1]} ${fields[3]}`);
  expect(await trim(1.9)).toBe("dropped 0");
  expect(await notices()).toEqual([]);
  expect(await trim(2.1)).toBe("dropped 0");
  await trim(2.2);
  expect(await notices()).toEqual(["outcomes.group_lagging crm"]);
  expect(await trim(4.1)).toBe("dropped 1");
  expect(await notices()).toEqual(["outcomes.group_lagging crm", "outcomes.group_lost crm"]);
});

test("only the one that holds the lease is given anything, and only it may give up", async () => {
  const group = createGroupShard(redis, shards.first, "crm");
  await group.ensure("0-0");
  await publish(anOutcome("a"));
  expect(await group.hold("reader", 60_000, true)).toEqual({ isHeld: true, members: 1 });
  expect(await group.hold("late", 60_000, true)).toEqual({ isHeld: false, members: 2 });
  expect(await group.read("late", "0-0", 10)).toBeUndefined();
  expect(await readGroups(redis, shards.first)).toMatchObject([{ unread: 1, pending: 0 }]);
  const [outcome] = (await group.read("reader", "0-0", 10)) ?? [];
  if (outcome === undefined) throw new Error("nothing was read");
  await group.giveUp("late", outcome, 1, { error: "Error", reason: "too late" });
  expect(await readDeadLetters(redis, shards.first, "crm")).toEqual([]);
  expect(await readGroups(redis, shards.first)).toMatchObject([{ unread: 0, pending: 1 }]);
  await group.leave("late", true);
  expect(await group.hold("next", 60_000, true)).toMatchObject({ isHeld: false });
  await group.leave("reader", true);
  expect(await group.hold("next", 60_000, true)).toEqual({ isHeld: true, members: 1 });
});

test("what was read and never arrived, as the connection broke before the answer, is handled all the same", async () => {
  const { handled } = consume();
  await publish(anOutcome("a"));
  await until("it is handled", () => handled.length === 1);
  const stream = outcomeStreamKey(shards.first);
  const { id, type, subject } = anOutcome("b");
  const event = JSON.stringify(anOutcome("b"));
  // In one step, so that the consumer itself does not get it.
  await redis
    .multi()
    .xadd(stream, "*", "id", id, "type", type, "subject", subject, "event", event)
    .xreadgroup("GROUP", "crm", "reader", "COUNT", 1, "STREAMS", stream, ">")
    .exec();
  await publish(anOutcome("c"));
  await until("all are handled", () => handled.length === 3);
  expect(handled).toEqual(["a.1", "b.1", "c.1"]);
});

test("stopping lets what is being handled end, and begins nothing more", async () => {
  await publish(anOutcome("a", 1), anOutcome("a", 2));
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const { consumer, handled, ended } = consume({
    onOutcome: async ({ id }) => {
      begun.resolve();
      await gate.promise;
      handled.push(id);
    },
  });
  await begun.promise;
  const stopped = consumer.stop();
  gate.resolve();
  await stopped;
  await ended;
  expect(handled).toEqual(["a.1"]);
  expect(await readGroups(redis, shards.first)).toMatchObject([{ pending: 1 }]);
});

test("an emptied Redis does not stop a consumer", async () => {
  const errors: unknown[] = [];
  const { handled } = consume({ onError: (error) => errors.push(error) });
  await publish(anOutcome("a"));
  await until("it is handled", () => handled.length === 1);
  await emptyRedis(redis);
  await publish(anOutcome("b"));
  await until("the next one is handled", () => handled.includes("b.1"), { deadlineMs: 15_000 });
});

test("a group that somebody destroys ends its consumers, those that wait for their turn too, and nothing comes again", async () => {
  await publish(anOutcome("a"));
  const reading = consume();
  await until("it is handled", () => reading.handled.length === 1);
  const waiting = consume();
  const members = async () => (await redis.zcard(groupMembersKey(shards.first, "crm"))) === 2;
  await until("the other has said that it lives", members);
  await redis.xgroup("DESTROY", outcomeStreamKey(shards.first), "crm");
  for (const { ended } of [reading, waiting]) {
    await expect(ended).rejects.toMatchObject({ name: "GroupForgottenError", code: "group_forgotten" });
  }
  expect([...reading.handled, ...waiting.handled]).toEqual(["a.1"]);
  expect(await readGroups(redis, shards.first)).toEqual([]);
});

test("a group is not forgotten while a consumer reads for it, and what it has given up is kept", async () => {
  await publish(anOutcome("a"));
  const { consumer, handled } = consume({ name: "till" });
  await until("it is handled", () => handled.length === 1);
  const letter = { stream_id: "1-0", id: "x.1", type: "booking.confirmed", subject: "x", attempts: "50", reason: "no" };
  await redis.xadd(groupDeadLettersKey(shards.first, "crm"), "*", ...Object.entries(letter).flat());
  await expect(forgetGroup(redis, shards, "crm")).rejects.toMatchObject({
    code: "group_in_use",
    message: expect.stringMatching(/"till" reads for the group "crm"\. Stop all consumers of the group first/),
  });
  expect(await readDeadLetters(redis, shards.first, "crm")).toHaveLength(1);
  await publish(anOutcome("b"));
  await until("it goes on", () => handled.length === 2);
  await consumer.stop();
  expect(await forgetGroup(redis, shards, "crm")).toBe(true);
  expect(handled).toEqual(["a.1", "b.1"]);
});

test("what a group has given up is forgotten after 30 days, and the group goes on where it was", async () => {
  await publish(anOutcome("bad"));
  const { consumer } = consume({
    maxAttempts: 1,
    onOutcome: () => Promise.reject(new Error("no customer ann@example.com")),
  });
  const letters = async () => (await readDeadLetters(redis, shards.first, "crm")).map(({ id }) => id);
  await until("it is given up", async () => (await letters()).length === 1);
  await consumer.stop();
  // Its outcome is kept for one day.
  await trimAfter(29);
  expect(await letters()).toEqual(["bad.1"]);
  await trimAfter(31);
  expect(await letters()).toEqual([]);
  const next = consume();
  await publish(anOutcome("next"));
  await until("it goes on", () => next.handled.length > 0);
  expect(next.handled).toEqual(["next.1"]);
});

test("a Redis that refuses to make the group is asked again until it takes it", async () => {
  await publish(anOutcome("a"));
  // As one does that is failing over: it answers, and writes nothing.
  await callEach(redis, "CONFIG", "SET", "min-replicas-to-write", "9");
  const errors: unknown[] = [];
  const { handled } = consume({ onError: (error) => errors.push(error) });
  try {
    await until("it was refused twice", () => errors.length >= 2);
    expect(String(errors[0])).toContain("NOREPLICAS");
  } finally {
    await callEach(redis, "CONFIG", "SET", "min-replicas-to-write", "0");
  }
  await until("it is handled", () => handled.includes("a.1"));
});

test("Redis going away and coming back loses nothing", async () => {
  const { handled } = consume();
  await publish(anOutcome("a"));
  await until("it is handled", () => handled.length === 1);
  await server.kill();
  await server.restart();
  await publish(anOutcome("b"));
  await until("the next one is handled", () => handled.includes("b.1"), { deadlineMs: 20_000 });
});

test("whom the generated line of Redis' ACL lets in reaches the outcomes and nothing else", async () => {
  const [command = "", ...line] = groupAcl("crm", shards).replace("PASSWORD", "secret").split(" ");
  const selector = line.findIndex((part) => part.startsWith("("));
  await callEach(redis, command, ...line.slice(0, selector), line.slice(selector).join(" "));
  await redis.set("{calendly:0}:booking:x", "somebody's");
  const own = await connectRedis(asUser(server.url, "crm", "secret"));
  try {
    await publish(anOutcome("a"), anOutcome("bad"));
    const errors: unknown[] = [];
    const { consumer, handled } = consume({
      redis: own,
      maxAttempts: 2,
      onOutcome: async ({ id }) => {
        if (id === "bad.1") throw new Error("bad");
        handled.push(id);
      },
      onError: (error) => errors.push(String(error)),
    });
    const letters = async () => (await readDeadLetters(redis, shards.first, "crm")).length === 1;
    await until("both are done with", async () => handled.includes("a.1") && (await letters()));
    expect(await consumer.lag()).toHaveLength(1);
    await consumer.stop();
    expect(errors.filter((error) => error !== "Error: bad")).toEqual([]);

    const stream = outcomeStreamKey(shards.first);
    for (const refused of [
      () => own.get("{calendly:0}:booking:x"),
      () => own.xadd(stream, "*", "id", "forged"),
      () => own.xtrim(stream, "MAXLEN", 0),
      () => own.del(stream),
      () => own.hset("{calendly:0}:deployment", "shards", "5"),
      () => own.eval("return redis.call('DEL', KEYS[1])", 1, stream),
      () => own.eval("return redis.call('GET', '{calendly:0}:booking:x')", 0),
      () => own.keys("*"),
      () => own.flushall(),
      () => own.config("GET", "*"),
    ]) {
      await expect(refused()).rejects.toThrow(/permission|can't|ACL/i);
    }
  } finally {
    disconnect(own);
    await callEach(redis, "ACL", "DELUSER", "crm");
  }
});

test.each([
  [{ group: "a b" }, 'group: expected 1 to 64 letters, digits, "_", "." or "-", got "a b"'],
  [{ concurrency: 0 }, "concurrency: expected a whole number above 0, got 0"],
  [{ leaseMs: 1.5 }, "leaseMs: expected a whole number above 0, got 1.5"],
])("refuses %j", (options, message) => {
  expect(() => createOutcomeConsumer({ redis, group: "crm", onOutcome: async () => {}, ...options })).toThrow(message);
});

test("says what is wrong where nothing is installed, and where a cursor is none", async () => {
  await expect(consume({ start: { after: "tomorrow" } }).ended).rejects.toMatchObject({ code: "cursor_invalid" });
  await expect(consume({ start: { after: toCursor(["1-0", "2-0"]) } }).ended).rejects.toThrow("got one for 2");
  await emptyRedis(redis);
  await expect(consume().ended).rejects.toMatchObject({
    code: "not_installed",
    message: expect.stringContaining("start the worker first"),
  });
});
