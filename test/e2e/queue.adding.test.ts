import { randomUUID } from "node:crypto";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer, jobOptions } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { addJob } from "@calendly-worker/core/store/add-job";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { Job, Queue } from "bullmq";
import { deliveryOf } from "../bench/bookings.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedisNode } from "../support/redis-node.ts";

// A job is added by a script of the project's own; a worker, a dashboard and whoever removes or repeats it are BullMQ's. So it
// has to be the job that BullMQ would have added: whatever of that changes with a new version is red here.

const { first: shard } = createShards(1);
const REMEMBERED_MS = 60_000;

let server: RedisServer;
let redis: Redis;
let queue: Queue;

beforeAll(async () => {
  // One alone, whatever the other tests have: a queue's keys lie in one slot.
  server = await startRedisNode();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

beforeEach(async () => {
  await redis.flushdb();
  queue = new Queue(deliveries.name, { connection: redis, prefix: shard.tag });
  await queue.waitUntilReady();
});

afterEach(async () => await queue.close());

const newDelivery = () => deliveryOf(createdBody(newInvitee()));

async function add(data = newDelivery()) {
  const producer = createProducer({ redis, contract: deliveries, deduplicationMs: REMEMBERED_MS, deadlineMs: 5_000 });
  return { data, result: await producer.enqueue(shard, "invitee.created", data) };
}

async function addAsBullDoes(data = newDelivery()) {
  const deduplication = { id: data.identity, ttl: REMEMBERED_MS };
  await queue.add("invitee.created", data, { ...jobOptions(deliveries), jobId: randomUUID(), deduplication });
  return data;
}

const key = (name: string) => `${shard.tag}:${deliveries.name}:${name}`;

/** All that a queue consists of but its events, with `ID` and `IDENTITY` for what is another every time. */
async function whole(identity: string) {
  const found: Record<string, unknown> = {};
  const [id = ""] = await redis.lrange(key("wait"), 0, -1);
  const neutral = (value: unknown) =>
    JSON.parse(JSON.stringify(value).replaceAll(id, "ID").replaceAll(identity, "IDENTITY"));
  for (const name of await redis.keys(`${shard.tag}*`)) {
    const type = await redis.type(name);
    if (type === "hash") found[name] = await redis.hgetall(name);
    else if (type === "list") found[name] = await redis.lrange(name, 0, -1);
    else if (type === "zset") found[name] = await redis.zrange(name, 0, "-1", "WITHSCORES");
    else if (type === "string") found[name] = [await redis.get(name), (await redis.pttl(name)) > 0];
  }
  // Counts what has been added without an id of its own.
  delete found[key("id")];
  const job = found[key(id)] as Record<string, unknown>;
  const { jobId: _, de: __, ...opts } = JSON.parse(String(job["opts"]));
  found[key(id)] = { ...job, opts, timestamp: Number(job["timestamp"]) > Date.now() - 60_000 };
  const named = neutral(found) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(named).toSorted());
}

describe("a job that is added", () => {
  test("is what BullMQ adds", async () => {
    const data = await addAsBullDoes();
    const bulls = await whole(data.identity);
    await queue.obliterate({ force: true });
    await redis.flushdb();
    await queue.close();
    queue = new Queue(deliveries.name, { connection: redis, prefix: shard.tag });
    await queue.waitUntilReady();
    await add(data);
    const ours = await whole(data.identity);
    expect(ours).toEqual(bulls);
    expect(Object.keys(ours).map((name) => name.replace(key(""), ""))).toEqual([
      "ID",
      "de:IDENTITY",
      "marker",
      "meta",
      "wait",
    ]);
  });

  test("reads as that one does, its options and its identity with it", async () => {
    const { data } = await add();
    await addAsBullDoes();
    const [ours, bulls] = (await queue.getWaiting()) as [Job, Job];
    const { jobId: _, deduplication: __, ...options } = bulls.opts;
    expect(ours.opts).toEqual(options);
    expect(ours).toMatchObject({ name: "invitee.created", data, attemptsMade: 0, delay: 0, priority: 0 });
    expect(await queue.getDeduplicationJobId(data.identity)).toBe(ours.id);
  });

  test("comes after those that wait, and wakes a worker unless the queue is paused or as many run as may", async () => {
    const { data: earlier } = await add();
    const { data: later } = await add();
    const waiting = await queue.getWaiting(0, -1);
    expect(new Set(waiting.map((job) => job.data.identity))).toEqual(new Set([earlier.identity, later.identity]));
    expect((await Job.fromId(queue, String(await redis.lindex(key("wait"), -1))))?.data.identity).toBe(
      earlier.identity,
    );
    for (const hold of [() => queue.pause(), () => queue.setGlobalConcurrency(0)]) {
      await queue.resume();
      await hold();
      await redis.del(key("marker"));
      await add();
      expect(await redis.exists(key("marker"))).toBe(0);
    }
    await queue.resume();
    await queue.removeGlobalConcurrency();
    await add();
    expect(await redis.zrange(key("marker"), 0, "-1")).toContain("0");
  });

  test("is added once, and again when it is removed or its time is over", async () => {
    const { data, result } = await add();
    expect([result, (await add(data)).result, await queue.getWaitingCount()]).toEqual(["new", "seen", 1]);
    await addAsBullDoes(data);
    expect(await queue.getWaitingCount()).toBe(1);
    const [job] = await queue.getWaiting();
    await job?.remove();
    expect((await add(data)).result).toBe("new");
    await redis.del(key(`de:${data.identity}`));
    expect((await add(data)).result).toBe("new");
    expect(await queue.getWaitingCount()).toBe(2);
  });

  test("is new to whoever sends it again because the answer was lost", async () => {
    const { identity, ...rest } = newDelivery();
    const data = JSON.stringify({ identity, ...rest });
    const job = { id: randomUUID(), name: "invitee.created", identity, data, options: "{}" };
    const send = () => addJob(redis, shard, deliveries.name, job, { now: Date.now(), rememberedMs: REMEMBERED_MS });
    expect([await send(), await send(), await queue.getWaitingCount()]).toEqual(["new", "new", 1]);
  });

  test("is seen by an add of BullMQ's, and the other way round", async () => {
    const data = await addAsBullDoes();
    expect((await add(data)).result).toBe("seen");
    expect(await queue.getWaitingCount()).toBe(1);
  });
});
