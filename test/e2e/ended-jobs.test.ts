import { randomUUID } from "node:crypto";
import type { QueueContract } from "@calendly-worker/core/queues/contract";
import {
  deliveries,
  KEPT_AFTER_DARK,
  lateDeliveries,
  maintenance,
  pushesTo,
  sweeps,
} from "@calendly-worker/core/queues/contracts";
import { createProducer, jobOptions } from "@calendly-worker/core/queues/producer";
import { doNow } from "@calendly-worker/core/queues/schedules";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, queuePrefix, type Shard } from "@calendly-worker/core/redis/keys";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { dropJobs, dropJobsEndedBy, type Ending } from "@calendly-worker/core/store/ended-jobs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { Queue, UnrecoverableError, Worker } from "bullmq";
import { deliveryOf } from "../bench/bookings.ts";
import type { AppProcess } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { emptyRedis, keysLike } from "../support/whole-redis.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const shards = createShards(2);
const never = new AbortController().signal;

let server: RedisServer;
let redis: Redis;
let worker: AppProcess | undefined;
const open: Queue[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});
beforeEach(async () => await emptyRedis(redis));
afterEach(async () => {
  await worker?.end("SIGKILL");
  worker = undefined;
  await Promise.all(open.splice(0).map((queue) => queue.close()));
});
afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

function queueOf({ name }: QueueContract, shard: Shard): Queue {
  const queue = new Queue(name, { connection: redis, prefix: shard.tag });
  open.push(queue);
  return queue;
}

/** Lets BullMQ end all that waits in a queue. */
async function endAll(queue: Queue, ending: Ending): Promise<void> {
  const run = async () => {
    if (ending === "failed") throw new UnrecoverableError("it can never work");
    return "done";
  };
  const bull = new Worker(queue.name, run, {
    connection: redis,
    prefix: queue.opts.prefix ?? "",
    concurrency: 50,
    // Seconds that its end waits for another job.
    drainDelay: 1,
  });
  await until("all have ended", async () => {
    const { wait = 0, active = 0 } = await queue.getJobCounts("wait", "active");
    return wait + active === 0;
  });
  await bull.close();
}

/** Jobs of a queue that ended so long ago, by their ids. */
async function endedSince(
  queue: Queue,
  contract: QueueContract,
  ending: Ending,
  agesMs: Readonly<Record<string, number>>,
  keepFailed = contract.keepFailed,
): Promise<void> {
  const opts = { ...jobOptions(contract), removeOnFail: keepFailed };
  await queue.addBulk(Object.keys(agesMs).map((jobId) => ({ name: "a-job", data: {}, opts: { ...opts, jobId } })));
  await endAll(queue, ending);
  for (const [id, ageMs] of Object.entries(agesMs)) {
    await redis.zadd(`${queue.opts.prefix}:${queue.name}:${ending}`, "XX", Date.now() - ageMs, id);
  }
}

const idsIn = (queue: Queue, ending: Ending) => redis.zrange(`${queue.opts.prefix}:${queue.name}:${ending}`, 0, "-1");

async function startAndTrim(): Promise<void> {
  worker = startWorker(server.url, { CALENDLY_SHARDS: "2" });
  await worker.untilLogged("taking jobs");
  await doNow({ redis, shard: shards.first, log: silent }, "trim-outcomes");
}

test("failed jobs are dropped when they are as old as their contract says, of every queue, although no other one fails", async () => {
  const destination = await createDestinationStore(redis, Date.now).add({
    url: "http://127.0.0.1:9/nobody",
    ...{ types: null, eventTypes: null, hosts: null, ordered: false, concurrency: 1 },
    secrets: [{ value: "whsec_AAAA" }],
  });
  const kept: [QueueContract, Shard, number, QueueContract["keepFailed"]?][] = [
    ...shards.all.flatMap((shard): [QueueContract, Shard, number][] => [
      [deliveries, shard, 30],
      [lateDeliveries, shard, 30],
    ]),
    [sweeps, shards.first, 30, KEPT_AFTER_DARK],
    [maintenance, shards.first, 7],
    [pushesTo(destination.id), shards.first, 30],
  ];
  const queues: Queue[] = [];
  for (const [contract, shard, days, keepFailed] of kept) {
    const queue = queueOf(contract, shard);
    const ages = { old: days * DAY_MS + HOUR_MS, older: 400 * DAY_MS, young: days * DAY_MS - HOUR_MS };
    await endedSince(queue, contract, "failed", ages, keepFailed);
    queues.push(queue);
  }
  await startAndTrim();
  for (const queue of queues) {
    await until(`only the young one of ${queue.name} is left`, async () => (await idsIn(queue, "failed")).length === 1);
    expect(await idsIn(queue, "failed")).toEqual(["young"]);
  }
  expect(await keysLike(redis, "*:old*")).toEqual([]);
  expect(await keysLike(redis, "*:young")).toHaveLength(queues.length);
});

test("a delivery that was worked off is dropped after an hour, although no other one comes, and its repeat is seen as one", async () => {
  const shard = shards.first;
  const queue = queueOf(deliveries, shard);
  const producer = createProducer({ redis, contract: deliveries, deduplicationMs: 3 * DAY_MS, deadlineMs: 5_000 });
  const [old, young] = [deliveryOf(createdBody(newInvitee())), deliveryOf(createdBody(newInvitee()))];
  const add = (data: typeof old) => producer.enqueue(shard, "invitee.created", data);
  expect(await add(old)).toBe("new");
  await endAll(queue, "completed");
  const [oldId = ""] = await idsIn(queue, "completed");
  await redis.zadd(`${queuePrefix(shard, deliveries.name)}completed`, "XX", Date.now() - HOUR_MS - 1_000, oldId);
  await startAndTrim();
  await until("it is dropped", async () => (await idsIn(queue, "completed")).length === 0);
  expect(await keysLike(redis, `*${oldId}*`)).toEqual([]);
  expect([await add(old), await add(young)]).toEqual(["seen", "new"]);
});

test("thousands are dropped in portions, and none while the worker stops", async () => {
  const queue = queueOf(deliveries, shards.first);
  const ids = Array.from({ length: 1_200 }, () => randomUUID());
  await endedSince(queue, deliveries, "failed", Object.fromEntries(ids.map((id) => [id, DAY_MS])));
  const drop = (by: number, signal = never) =>
    dropJobsEndedBy(redis, shards.first, deliveries, "failed", { until: by, signal });
  await expect(drop(Date.now(), AbortSignal.abort())).rejects.toThrow();
  expect(await drop(Date.now() - 2 * DAY_MS)).toBe(0);
  expect(await drop(Date.now())).toBe(1_200);
  expect(await idsIn(queue, "failed")).toEqual([]);
  expect((await Promise.all(ids.map((id) => queue.getJob(id)))).filter((job) => job !== undefined)).toEqual([]);
});

test("by its id only a job goes that has failed, and not one that is tried again meanwhile", async () => {
  const queue = queueOf(deliveries, shards.first);
  await endedSince(queue, deliveries, "failed", { retried: 0, "given-up": 0 });
  await (await queue.getJob("retried"))?.retry("failed");
  await queue.add("a-job", {}, { jobId: "waiting" });
  expect(await dropJobs(redis, shards.first, deliveries, "failed", ["retried", "given-up", "waiting", "nobody"])).toBe(
    1,
  );
  expect(await queue.getJob("given-up")).toBeUndefined();
  expect(await queue.getJobState("retried")).toBe("waiting");
  expect(await queue.getJobState("waiting")).toBe("waiting");
});
