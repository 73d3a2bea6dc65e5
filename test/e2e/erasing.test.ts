import { spawnSync } from "node:child_process";
import { parseResourceUri } from "@calendly-worker/core/calendly/references";
import {
  bookingKey,
  createShards,
  groupDeadLettersKey,
  lookupKey,
  outcomeStreamKey,
  quarantineEntryKey,
  queuePrefix,
  waitingKey,
} from "@calendly-worker/core/redis/keys";
import { lookupPrefix } from "@calendly-worker/core/store/lookups";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Invitee } from "../simulator/meetings.ts";
import { runCommand } from "../support/cli.ts";
import { deliver } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, type StackWithCalendly, startStackWithCalendly } from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { keysLike } from "../support/whole-redis.ts";

const CLI = new URL("../../apps/cli/dist/main.js", import.meta.url).pathname;
const PRIYA = { name: "Priya Nair", email: "Priya.Nair@acme-corp.example" };
const OTHER = { name: "Lee Park", email: "lee.park@hanbit.example" };

const shard = createShards(1).first;

let server: RedisServer;
let stack: StackWithCalendly;

beforeAll(async () => {
  server = await startRedis();
  stack = await startStackWithCalendly(server.url, 7_301, { CALENDLY_MISSING_HALF_GRACE: "1" });
});

afterAll(async () => {
  await stack?.stop();
  await server?.stop();
});

const run = (args: readonly string[], input = "") => {
  const env = { PATH: process.env["PATH"], REDIS_URL: server.url };
  return spawnSync(process.execPath, [CLI, ...args], { env, input, encoding: "utf8", timeout: 30_000 });
};

const book = (who: typeof PRIYA, day: string) =>
  stack.simulator.account.book({ ...who, eventType: "intro", start: `2030-02-${day}T15:00:00Z` });

const idsAbout = async ({ id }: Invitee) =>
  (await stack.outcomes.all())
    .filter((event) => event.subject === id && !event.type.startsWith("booking.conflict"))
    .map((event) => event.id);

const openQuarantine = () => createQuarantine({ redis: stack.redis, shards: createShards(1), retentionDays: 90 });

/** Delivers what happened about an invitee as somebody of another id, and so that it cannot be read. */
async function quarantineOne({ uri, id }: Invitee, otherId: string): Promise<void> {
  const happening = stack.simulator.account.history().find(({ payload }) => payload["uri"] === uri);
  const broken = JSON.parse(bodyOf(happening ?? never()));
  broken.payload.created_at = null;
  broken.payload.uri = broken.payload.uri.replace(id, otherId);
  await deliver(stack.ingest.webhookUrl, JSON.stringify(broken));
}

async function foundBy(email: string): Promise<string[]> {
  const prefix = lookupPrefix("email", email);
  return await stack.redis.zrangebylex(lookupKey(shard), `[${prefix}`, `(${prefix}~`);
}

/** Everything that Redis holds, as text. */
async function everything(): Promise<string> {
  const { redis } = stack;
  const parts: string[] = [];
  for (const key of await keysLike(redis, "*")) {
    const type = await redis.type(key);
    if (type === "string") parts.push((await redis.get(key)) ?? "");
    else if (type === "hash") parts.push(JSON.stringify(await redis.hgetall(key)));
    else if (type === "stream") parts.push(JSON.stringify(await redis.xrange(key, "-", "+")));
    else if (type === "list") parts.push(JSON.stringify(await redis.lrange(key, 0, -1)));
    else if (type === "zset") parts.push(JSON.stringify(await redis.zrange(key, 0, "-1")));
    // What is gone by now may be there again as something else.
    else if (type === "set") parts.push(JSON.stringify(await redis.smembers(key)));
  }
  return parts.join("\n");
}

test("a person is erased from everything that is kept, and nothing of what was known comes back", async () => {
  const { account } = stack.simulator;
  // A chain whose last one has not been heard of, a conflict, a waiting half, one in quarantine, and somebody else.
  const first = book(PRIYA, "10");
  await stack.deliver(first);
  const second = account.reschedule(first.id, "2030-02-11T15:00:00Z");
  await stack.deliver(second, "invitee.created");
  const unheard = account.reschedule(second.id, "2030-02-12T15:00:00Z");
  const panel = account.book({ ...OTHER, eventType: "panel", start: "2030-02-11T15:00:00Z" });
  await stack.deliver(panel);
  const other = account.book({
    ...OTHER,
    eventType: "intro",
    start: "2030-02-14T15:00:00Z",
    answers: [{ question: "Who comes along?", answer: "priya.nair@acme-corp.example" }],
  });
  await stack.deliver(other);
  await quarantineOne(first, "BROKEN");
  await stack.outcomes.untilThere([`${second.id}.rescheduled`, `${other.id}.confirmed`, `${panel.id}.confirmed`]);
  const quarantine = openQuarantine();
  expect(await quarantine.count(Date.now())).toBe(1);
  // What a group of consumers has given up, and by what a booking is found.
  await stack.redis.xgroup("CREATE", outcomeStreamKey(shard), "crm", "$");
  const letter = {
    stream_id: "1-0",
    id: "x",
    type: "booking.confirmed",
    subject: first.id,
    reason: "Priya is unknown",
  };
  await stack.redis.xadd(groupDeadLettersKey(shard, "crm"), "*", ...Object.entries(letter).flat());
  const found = () => foundBy(PRIYA.email);
  expect(await found()).toHaveLength(1);
  expect((await everything()).toLowerCase()).toContain("priya");

  const { status, stdout, stderr } = run(["erase", "--json"], "priya.nair@acme-corp.example\n");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(JSON.parse(stdout)).toMatchObject({ bookings: 1, outcomes: 2, others: 1, running: 0 });

  const left = await everything();
  expect(left.toLowerCase()).not.toContain("priya");
  expect(left).toContain(OTHER.email);
  expect(await found()).toEqual([]);
  expect(await quarantine.count(Date.now())).toBe(0);
  expect(await idsAbout(first)).toEqual([`${first.id}.erased`]);
  const events = await stack.outcomes.all();
  expect(events.find(({ id }) => id === `${first.id}.erased`)).toMatchObject({
    type: "booking.erased",
    data: { booking: { id: first.id } },
  });
  expect(events.map(({ type }) => type)).toContain("booking.conflict_resolved");
  // What the other one was told stays, without the name.
  expect(events.filter(({ id }) => id === `${other.id}.confirmed`)).toMatchObject([
    { data: { booking: { answers: [{ answer: "[erased]" }], invitee: { email: OTHER.email } } } },
  ]);

  // Repeats, the half that was not heard of, and what a sweep would bring: dropped.
  await stack.redis.del(...(await keysLike(stack.redis, "{calendly:0}:deliveries:de:*")));
  for (const invitee of [first, second, unheard]) await stack.deliver(invitee);
  expect(await idsAbout(first)).toEqual([`${first.id}.erased`]);
  expect(await stack.redis.exists(`{calendly:0}:booking:${first.id}`, `{calendly:0}:waiting:${second.id}`)).toBe(0);

  // Whoever books anew is welcome, also by moving what was erased.
  const anew = book(PRIYA, "20");
  await stack.deliver(anew);
  const moved = account.reschedule(unheard.id, "2030-02-21T15:00:00Z");
  await stack.deliver(moved, "invitee.created");
  await stack.outcomes.untilThere([`${anew.id}.confirmed`, `${moved.id}.confirmed`]);
});

test("whoever has an address that only ends or begins like that of an erased person keeps everything", async () => {
  const ann = book({ name: "Ann Ode", email: "ann@x.example" }, "15");
  const strangers = [
    book({ name: "Jo Ann Bell", email: "joann@x.example" }, "16"),
    book({ name: "Ann Roe", email: "ann@x.example.org" }, "17"),
  ] as const;
  for (const invitee of [ann, ...strangers]) await stack.deliver(invitee);
  await stack.outcomes.untilThere([ann, ...strangers].map(({ id }) => `${id}.confirmed`));
  await quarantineOne(strangers[0], "BROKEN-JOANN");
  await quarantineOne(strangers[1], "BROKEN-ORG");
  await quarantineOne(ann, "BROKEN-ANN");
  const kept = async () => {
    const entries = await stack.redis.xrange(outcomeStreamKey(shard), "-", "+");
    return {
      bookings: await Promise.all(strangers.map(({ id }) => stack.redis.hgetall(bookingKey(shard, id)))),
      outcomes: entries.filter(([, fields]) => strangers.some(({ id }) => fields.includes(id))),
      lookups: await Promise.all(strangers.map(({ email }) => foundBy(email))),
    };
  };
  const before = await kept();
  expect(before.outcomes).toHaveLength(2);
  expect(before.lookups.map((found) => found.length)).toEqual([1, 1]);
  expect(await openQuarantine().count(Date.now())).toBe(3);

  const { status, stdout } = run(["erase", "--json"], "ann@x.example\n");
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ bookings: 1, outcomes: 1, others: 0, running: 0 });

  expect(await kept()).toEqual(before);
  const quarantined = (await openQuarantine().list(10)).map(({ body }) => Buffer.from(body).toString());
  expect(quarantined.map((body) => JSON.parse(body).payload.email).toSorted()).toEqual([
    "ann@x.example.org",
    "joann@x.example",
  ]);
  expect(await idsAbout(ann)).toEqual([`${ann.id}.erased`]);
});

test("who is named in somebody else's booking comes back with its next delivery, until erased again", async () => {
  const { account } = stack.simulator;
  const answers = [{ question: "Who comes along?", answer: "zoe@x.example" }];
  const named = account.book({ ...OTHER, eventType: "intro", start: "2030-02-18T15:00:00Z", answers });
  await stack.deliver(named);
  await stack.outcomes.untilThere([`${named.id}.confirmed`]);
  const erase = () => {
    const { status, stdout } = run(["erase", "zoe@x.example"]);
    expect({ status, stdout }).toMatchObject({ status: 0, stdout: expect.stringContaining("run again") });
  };
  const isNamed = async () => (await everything()).includes("zoe@x.example");
  erase();
  expect(await isNamed()).toBe(false);
  account.cancel(named.id);
  await stack.deliver(named, "invitee.canceled");
  await stack.outcomes.untilThere([`${named.id}.canceled`]);
  expect(await isNamed()).toBe(true);
  erase();
  expect(await isNamed()).toBe(false);
});

test("a routing form is of nobody by its own words: it is erased for what somebody has entered, also where it waits", async () => {
  const { account } = stack.simulator;
  const submit = (email: string) => ({
    uri: account.submitRoutingForm([{ question: "E-mail", answer: email }], "intro"),
  });
  const [theirs, another, queued] = [submit("Mia@x.example"), submit("noah@x.example"), submit("mia@x.example")];
  await stack.deliver(theirs);
  await stack.deliver(another);
  expect(run(["queue", "pause"])).toMatchObject({ status: 0 });
  const happening = account.history().find(({ payload }) => payload["uri"] === queued.uri);
  await deliver(stack.ingest.webhookUrl, bodyOf(happening ?? never()));

  // One that waits for its booking, the job that is done with it, and one that waits for its turn.
  const { status, stdout } = run(["erase", "--json", "mia@x.example"]);
  expect({ status, told: JSON.parse(stdout) }).toMatchObject({ status: 0, told: { deliveries: 3, others: 0 } });
  expect((await everything()).toLowerCase()).not.toContain("mia@x.example");
  expect(await stack.redis.exists(waitingKey(shard, parseResourceUri(another.uri)))).toBe(1);
  run(["queue", "resume"]);
});

/** What Calendly would deliver of a booking of somebody else that names the person, as a guest and in an answer. */
function bookWith(day: string, guest: string) {
  const answers = [{ question: "Who comes along?", answer: guest }];
  const { account } = stack.simulator;
  const { id } = account.book({ ...OTHER, eventType: "intro", start: `2030-02-${day}T15:00:00Z`, answers });
  const body = JSON.parse(bodyOf(account.history().at(-1) ?? never()));
  const told = { created_at: "2030-01-01T00:00:00Z", updated_at: "2030-01-01T00:00:00Z" };
  body.payload.scheduled_event.event_guests = [guest, "kim@x.example"].map((email) => ({ email, ...told }));
  return { id, identity: `invitee.created/${id}`, body: JSON.stringify(body) };
}

/** As the worker leaves what has failed for good. */
async function putAmongDead({ identity, body }: ReturnType<typeof bookWith>): Promise<void> {
  const prefix = queuePrefix(shard, "deliveries");
  const data = { identity, body, receivedAt: new Date().toISOString(), origin: "webhook", later: "field" };
  const job = {
    name: "invitee.created",
    data: JSON.stringify(data),
    opts: "{}",
    timestamp: String(Date.now()),
    delay: "0",
  };
  await stack.redis.hset(`${prefix}dead`, { ...job, priority: "0", atm: "1", failedReason: "mended by now" });
  await stack.redis.zadd(`${prefix}failed`, String(Date.now()), "dead");
}

test("others' deliveries that are in no booking yet stay, without the person: dead letters and quarantine", async () => {
  const uma = "Uma@x.example";
  const [done, dead, kept] = [bookWith("26", uma), bookWith("27", uma), bookWith("28", uma)];
  expect(await deliver(stack.ingest.webhookUrl, done.body)).toMatchObject({ status: 200 });
  await stack.outcomes.untilThere([`${done.id}.confirmed`]);
  await until("its job is done", async () => (await jobCount(stack.redis, shard, "deliveries")) === 0);
  await putAmongDead(dead);
  const quarantine = openQuarantine();
  const entry = { reason: "payload_invalid", problems: ["payload.x: expected"], signedWith: "primary" } as const;
  const receivedAt = new Date(Date.now() - 86_400_000).toISOString();
  await quarantine.keep({ ...entry, id: kept.identity, receivedAt, body: Buffer.from(kept.body) });
  await quarantine.keep({ ...entry, id: "body/torn", receivedAt, body: Buffer.from(kept.body.slice(0, -1)) });
  const key = quarantineEntryKey(shard, kept.identity);
  const expiry = await stack.redis.pexpiretime(key);

  const { status, stdout } = run(["erase", "--json", "uma@x.example"]);
  // The job that is done, and what is no JSON; the booking, the dead letter and the entry of others.
  expect({ status, told: JSON.parse(stdout) }).toMatchObject({
    status: 0,
    told: { deliveries: 2, others: 3, running: 0 },
  });
  expect((await everything()).toLowerCase()).not.toContain("uma@x.example");
  expect(await quarantine.get(kept.identity)).toMatchObject({ ...entry, id: kept.identity, receivedAt });
  expect(await quarantine.get("body/torn")).toBeUndefined();
  expect(await stack.redis.pexpiretime(key)).toBe(expiry);
  const data = await stack.redis.hget(`${queuePrefix(shard, "deliveries")}dead`, "data");
  expect(JSON.parse(data ?? "{}")).toMatchObject({ identity: dead.identity, later: "field", body: expect.any(String) });

  expect(run(["queue", "retry", "--all"])).toMatchObject({ status: 0 });
  expect(run(["quarantine", "replay", kept.identity])).toMatchObject({ status: 0 });
  const events = await stack.outcomes.untilThere([`${dead.id}.confirmed`, `${kept.id}.confirmed`]);
  for (const { id } of [dead, kept])
    expect(events.find((event) => event.id === `${id}.confirmed`)).toMatchObject({
      data: { booking: { event: { guests: ["kim@x.example"] }, answers: [{ answer: "[erased]" }], invitee: OTHER } },
    });
  expect((await everything()).toLowerCase()).not.toContain("uma@x.example");
});

/** A booking of somebody else that names a person, who is erased; `meanwhile` is done before that is told again. */
async function eraseWhile(day: string, guest: string, meanwhile: (named: Invitee) => Promise<void>): Promise<string[]> {
  const { account } = stack.simulator;
  const answers = [{ question: "Who comes along?", answer: guest }];
  const named = account.book({ ...OTHER, eventType: "intro", start: `2030-02-${day}T15:00:00Z`, answers });
  await stack.deliver(named);
  await stack.outcomes.untilThere([`${named.id}.confirmed`]);
  const proxy = await startTcpProxy(server.port);
  const held = proxy.holdAt("specversion", "before");
  const erasing = runCommand(["erase", guest], { REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
  await held;
  await meanwhile(named);
  proxy.letGo();
  expect(await erasing).toMatchObject({ status: 0 });
  await proxy.close();
  return await idsAbout(named);
}

testWhere("a proxy", "what is told of a booking while outcomes of it are told again stays behind them", async () => {
  const ids = await eraseWhile("24", "guest@acme-corp.example", async (named) => {
    stack.simulator.account.cancel(named.id);
    await stack.deliver(named, "invitee.canceled");
    await stack.outcomes.untilThere([`${named.id}.canceled`]);
  });
  expect(ids.map((id) => id.split(".")[1])).toEqual(["confirmed", "canceled"]);
  expect(JSON.stringify(await stack.outcomes.all())).not.toContain("guest@acme-corp.example");
});

testWhere("a proxy", "a person who is erased twice at the same time has nothing told twice", async () => {
  const ids = await eraseWhile("25", "double@acme-corp.example", async () => {
    expect(run(["erase", "double@acme-corp.example"])).toMatchObject({ status: 0 });
  });
  expect(ids.map((id) => id.split(".")[1])).toEqual(["confirmed"]);
});

test("nothing is erased without an address, and what is wrong is said", () => {
  expect(run(["erase"], "\n")).toMatchObject({
    status: 1,
    stderr: "expected one e-mail address, as an argument or on standard input\n",
  });
  expect(run(["erase", "nobody@example.org"])).toMatchObject({
    status: 0,
    stdout: "Erased: 0 bookings, 0 outcomes, 0 deliveries.\n",
  });
});

test("a booking whose missing part is asked for in vain is listed", async () => {
  expect(run(["incomplete"])).toMatchObject({ status: 0, stdout: "No booking is incomplete.\n" });
  const since = "2030-01-01T00:00:00.000Z";
  await stack.redis.zadd("{calendly:0}:incomplete", String(Date.parse(since)), "SOMEBODY");
  const rows = () => JSON.parse(run(["incomplete", "--json"]).stdout);
  expect(rows()).toEqual([{ id: "SOMEBODY", missing: "SOMEBODY", waiting: 0, since }]);
  const others = Array.from({ length: 1_100 }, (_, index) => `SOMEBODY-${index}`);
  const scored = others.flatMap((id) => [String(Date.parse(since)), id]);
  await stack.redis.zadd("{calendly:0}:incomplete", ...scored);
  expect(rows()).toHaveLength(others.length + 1);
  await stack.redis.zrem("{calendly:0}:incomplete", ...others);
  await until(
    "nothing is listed any more",
    async () => (await stack.redis.zrem("{calendly:0}:incomplete", "SOMEBODY")) === 1,
  );
});

function never(): never {
  throw new Error("the story is not as it should be");
}
