import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, groupLeaseKey, outcomeStreamKey, type Shards } from "@calendly-worker/core/redis/keys";
import { readGroups } from "@calendly-worker/core/store/outcome-groups";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { createRandom } from "../simulator/random.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { anOutcome, append, install } from "../support/outcome-stream.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { until } from "../support/until.ts";
import { emptyRedis } from "../support/whole-redis.ts";

// Consumers in processes of their own, killed and frozen.

const PROGRAM = new URL("../support/outcome-consumer.ts", import.meta.url).pathname;
const LEASE_MS = 3_000;
const BOOKINGS = 5_000;
const LOG = 3;
const shards: Shards = createShards(3);

let server: RedisServer;
let redis: Redis;
const running = new Map<string, ChildProcess>();

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});

beforeEach(async () => {
  await emptyRedis(redis);
  await install(redis, shards);
});

afterEach(async () => {
  await Promise.all([...running.keys()].map((name) => end(name, "SIGKILL")));
});

afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

async function begin(name: string, workMs: number): Promise<void> {
  const child = fork(PROGRAM, {
    env: {
      PATH: process.env["PATH"],
      REDIS_URL: server.url,
      GROUP: "crm",
      NAME: name,
      LEASE_MS: String(LEASE_MS),
      WORK_MS: String(workMs),
    },
    execArgv: ["--disable-warning=ExperimentalWarning"],
    stdio: ["ignore", "inherit", "pipe", "ipc"],
  });
  running.set(name, child);
  await once(child, "message");
}

async function end(name: string, signal: NodeJS.Signals): Promise<void> {
  const child = running.get(name);
  if (child === undefined) return;
  running.delete(name);
  const gone = once(child, "exit");
  child.kill(signal);
  await gone;
}

interface Handled {
  readonly subject: string;
  readonly id: string;
  readonly by: string;
}

async function handled(): Promise<Handled[]> {
  return (await redis.lrange("handled", 0, -1)).map((line) => {
    const [subject = "", id = "", by = ""] = line.split(" ");
    return { subject, id, by };
  });
}

/** Who reads each of the shards. */
async function readers(): Promise<(string | undefined)[]> {
  const names = await Promise.all(shards.all.map((shard) => redis.get(groupLeaseKey(shard, "crm"))));
  return names.map((name) => name?.split("/")[0]);
}

const isDone = async () => {
  const states = (await Promise.all(shards.all.map((shard) => readGroups(redis, shard)))).flat();
  return states.length === shards.all.length && states.every(({ unread, pending }) => unread === 0 && pending === 0);
};

/**
 * Acknowledged outcomes that nobody has handled. Each shard is read in one atomic step, and only then what was handled:
 * that was there before what it let be acknowledged.
 */
async function acknowledgedTooSoon(): Promise<string[]> {
  const script = `
    local group = redis.call('XINFO', 'GROUPS', KEYS[1])[1]
    if not group then return {} end
    local of = {}
    for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
    local pending = {}
    for _, one in ipairs(redis.call('XPENDING', KEYS[1], 'crm', '-', '+', 100000)) do pending[one[1]] = true end
    local acknowledged = {}
    for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', of['last-delivered-id'])) do
      if not pending[entry[1]] then acknowledged[#acknowledged + 1] = entry[2][2] end
    end
    return acknowledged`;
  const read = shards.all.map(async (shard) => (await redis.eval(script, 1, outcomeStreamKey(shard))) as string[]);
  const acknowledged = (await Promise.all(read)).flat();
  const known = new Set((await handled()).map(({ id }) => id));
  return acknowledged.filter((id) => !known.has(id));
}

test("of three consumers that are killed again and again each outcome is handled, in its booking's order, and repeated only around kills", async () => {
  const seed = 20261123;
  const random = createRandom(seed).next;
  const logs = Array.from({ length: BOOKINGS }, (_, index) =>
    Array.from({ length: LOG }, (_, sequence) => anOutcome(`booking-${index}`, sequence + 1)),
  );
  const events = [];
  for (let open = [...logs]; open.length > 0; open = open.filter((log) => log.length > 0)) {
    for (const log of open) if (random() < 0.3) events.push(...log.splice(0, 1));
  }
  expect(events).toHaveLength(BOOKINGS * LOG);
  const publishing = (async () => {
    for (let from = 0; from < events.length; from += 500) {
      await append(redis, shards, events.slice(from, from + 500));
      await pause(100);
    }
  })();

  const names = ["a", "b", "c"];
  for (const name of names) await begin(name, 12);
  const killsAt: number[] = [];
  let kills = 0;
  let looks = 0;
  const from = Date.now();
  while (!(await isDone()) || kills < 3) {
    if (Date.now() - from > 600_000) throw new Error(`not done; ${(await handled()).length} handled`);
    const victim = names[Math.floor(random() * names.length)] ?? "a";
    await pause(1_000 + random() * 2_000);
    expect(await acknowledgedTooSoon()).toEqual([]);
    looks += 1;
    if (await isDone()) break;
    killsAt.push((await handled()).length);
    await end(victim, "SIGKILL");
    kills += 1;
    await begin(victim, 12);
  }
  await publishing;
  await until("all is handled", isDone, { deadlineMs: 60_000, everyMs: 200 });

  const all = await handled();
  const first = new Map<string, number>();
  const repeats: number[] = [];
  for (const [at, { id }] of all.entries()) {
    if (first.has(id)) repeats.push(at);
    else first.set(id, at);
  }
  process.stdout.write(
    `  seed ${seed}: ${BOOKINGS} bookings, ${events.length} outcomes, ${kills} kills, ${looks} looks: lost ${events.length - first.size}, repeated ${repeats.length}\n`,
  );
  expect(kills).toBeGreaterThanOrEqual(3);
  expect(first.size).toBe(events.length);
  for (let index = 0; index < BOOKINGS; index++) {
    const places = Array.from({ length: LOG }, (_, sequence) => first.get(`booking-${index}.${sequence + 1}`) ?? -1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  }
  // A kill leaves at most what its consumer was handling: ten of each shard that it held.
  expect(repeats.length).toBeLessThanOrEqual(kills * 10 * shards.all.length);
  for (const at of repeats) expect(killsAt.some((kill) => at > kill)).toBe(true);
}, 1_200_000);

test("a consumer that was frozen and wakes up may repeat an outcome, and takes none away from its successor", async () => {
  await begin("a", 20);
  await begin("b", 20);
  await until("both read", async () => new Set(await readers()).size === 2 && !(await readers()).includes(undefined));
  await append(
    redis,
    shards,
    Array.from({ length: 300 }, (_, index) => anOutcome(`x-${index}`)),
  );
  await until("both have handled something", async () => new Set((await handled()).map(({ by }) => by)).size === 2);
  const frozen = running.get("a");
  frozen?.kill("SIGSTOP");
  await append(
    redis,
    shards,
    Array.from({ length: 300 }, (_, index) => anOutcome(`y-${index}`)),
  );
  await until("the other has handled all", isDone, { deadlineMs: 20_000 });
  // More than the successor reads ahead: the one that wakes up finds something to take.
  const backlog = Array.from({ length: 3_000 }, (_, index) => anOutcome(`z-${index}`));
  await append(redis, shards, backlog);
  frozen?.kill("SIGCONT");
  await until("all is handled again", isDone, { deadlineMs: 30_000 });
  const all = await handled();
  expect(new Set(all.map(({ id }) => id)).size).toBe(3_600);
  // What it was handling when it froze: ten of each shard.
  expect(all.length - 3_600).toBeLessThanOrEqual(10 * shards.all.length);
});

test("shards are shared among those that live, and taken over when one stops", async () => {
  await begin("a", 1);
  await until("one reads all", async () => (await readers()).every((name) => name === "a"));
  await begin("b", 1);
  await begin("c", 1);
  await until("each reads one", async () => new Set(await readers()).size === 3);
  await end("b", "SIGTERM");
  await end("c", "SIGTERM");
  await until("one reads all again", async () => (await readers()).every((name) => name === "a"));
});
