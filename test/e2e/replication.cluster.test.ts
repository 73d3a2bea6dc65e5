import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { parseInviteeUri } from "@calendly-worker/core/calendly/references";
import { createLifecycle, type Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries, sweeps } from "@calendly-worker/core/queues/contracts";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, outcomeStreamKey, type Shard } from "@calendly-worker/core/redis/keys";
import { PUSH_GROUP } from "@calendly-worker/core/store/forget-group";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { canceledBody, createdBody, type Invitee, newInvitee } from "../support/bookings.ts";
import { runCommand } from "../support/cli.ts";
import { startCluster } from "../support/cluster.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import type { RedisServer } from "../support/redis-node.ts";
import { startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const SHARDS = createShards(3);
const [FIRST, SECOND, THIRD] = SHARDS.all as [Shard, Shard, Shard];
const OPS = "ops-token-of-the-tests";
const VARIABLES = { CALENDLY_SHARDS: "3", REDIS_WAIT_REPLICAS: "1" };
/** For a primary that is killed; one that a slow machine keeps waiting is not taken for dead. */
const FAIL_OVER_MS = 3_000;
/** A server that is started again joins the others, and a job's next try may be some seconds away. */
const SLOW = { deadlineMs: 40_000 };

/** Ends with the test what it has started: the tests run side by side. */
const within = (work: (lifecycle: Lifecycle) => Promise<void>) => async () => {
  const lifecycle = createLifecycle(silent);
  await work(lifecycle).finally(() => lifecycle.close("the test is over"));
};

async function start(lifecycle: Lifecycle, variables: Variables = {}) {
  const cluster = lifecycle.own("cluster", await startCluster({}, FAIL_OVER_MS), (owned) => owned.stop());
  const redis = lifecycle.own("connection", await connectRedis(cluster.url), disconnect);
  const workers = [await startOne()];
  const ingest = lifecycle.own("ingest", await startIngest(cluster.url, VARIABLES), (owned) => owned.end());
  await ingest.untilLogged("ready for deliveries", 30_000);

  async function startOne(): Promise<AppProcess> {
    const pushing = { OPS_API_TOKEN: OPS, CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8" };
    const worker = startWorker(cluster.url, { ...VARIABLES, ...pushing, ...variables });
    lifecycle.own("worker", worker, (owned) => owned.end());
    await worker.untilLogged("taking jobs", 30_000);
    return worker;
  }

  const triesOf = (identity: string) =>
    workers
      .flatMap(({ logs }) => logs)
      .filter((line) => line.msg === "job ended" && line["identity"] === identity)
      .map(({ result }) => result);

  /** How the tries ended of the job that takes up what is told of an invitee. */
  const triesFor = ({ id }: Invitee, event = "invitee.created") => triesOf(`${event}/${id}`);

  return {
    cluster,
    redis,
    triesOf,
    triesFor,
    /** How many lines of the workers' logs say so. */
    logged: (what: RegExp) => workers.flatMap(({ logs }) => logs).filter(({ msg }) => what.test(msg)).length,
    workerUrl: async () => String((await workers[0]?.untilLogged("listening"))?.["url"]),
    stopWorker: async () => await workers[0]?.end(),
    startWorkerAgain: async () => void workers.push(await startOne()),
    taken: async (body: string) => (await deliver(ingest.webhookUrl, body)).status === 200,
    untilTried: (person: Invitee, event?: string) =>
      until("the job was tried", () => triesFor(person, event).length > 0, SLOW),
    untilTold: (shard: Shard, id: string) =>
      until(`${id} is told`, async () => (await outcomesOf(redis, shard)).includes(id), SLOW),
    untilAllDone: () =>
      until(
        "all deliveries are taken up",
        async () => {
          const left = await Promise.all(SHARDS.all.map((shard) => jobCount(redis, shard, "deliveries")));
          return left.every((count) => count === 0);
        },
        SLOW,
      ),
  };
}

async function outcomesOf(redis: Redis, shard: Shard): Promise<string[]> {
  return (await readOutcomes(redis, shard, "0", 1_000)).map(({ event }) => event.id);
}

/** Somebody new, of whom all but the event's list of invitees lies in the shard. */
function someoneIn(shard: Shard): Invitee {
  for (;;) {
    const person = newInvitee();
    if (SHARDS.of(person.id) === shard) return person;
  }
}

/** A Calendly of somebody who booked, and lies in the first shard, the list of the event's invitees in another. */
async function someoneBookedInFirst(): Promise<{ readonly simulator: Simulator; readonly id: string }> {
  for (let seed = 1; ; seed++) {
    const simulator = await startSimulator({ seed, rateLimit: 100_000 });
    const start = new Date(Math.floor(Date.now() / 60_000) * 60_000 + 7_200_000).toISOString();
    const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
    const { id, uri } = simulator.account.book({ ...person, eventType: "intro", start });
    if (SHARDS.of(id) === FIRST && SHARDS.of(parseInviteeUri(uri).eventId) !== FIRST) return { simulator, id };
    await simulator.close();
  }
}

/** A destination: the ids of what it got, whatever it answers. */
async function receive(lifecycle: Lifecycle, status: () => number) {
  const got: string[] = [];
  const receiver = createServer((req: IncomingMessage, res: ServerResponse) => {
    got.push(String(req.headers["webhook-id"]));
    req.resume();
    res.writeHead(status()).end();
  });
  lifecycle.own("receiver", receiver.listen(0, "127.0.0.1"), (owned) => void owned.close());
  await once(receiver, "listening");
  return { got, port: (receiver.address() as AddressInfo).port };
}

/** As if the line between the two were down: each is well, and what the one is told does not reach the other. */
async function cutOff(replica: RedisServer, primary: RedisServer): Promise<void> {
  const [to, from] = [await connectRedis(replica.url), await connectRedis(primary.url)];
  await to.config("SET", "masterauth", "not-its-password");
  await from.call("CLIENT", "KILL", "TYPE", "replica");
  await until("the replica is cut off", async () => /connected_slaves:0/.test(await from.info("replication")));
  for (const redis of [to, from]) disconnect(redis);
}

async function joinAgain(replica: RedisServer, primary: RedisServer): Promise<void> {
  const [to, from] = [await connectRedis(replica.url), await connectRedis(primary.url)];
  await to.config("SET", "masterauth", "");
  await until("it has all again", async () => /slave0:.*state=online/.test(await from.info("replication")), SLOW);
  for (const redis of [to, from]) disconnect(redis);
}

async function failOver(primary: RedisServer, replica: RedisServer): Promise<void> {
  await primary.kill();
  const redis = await connectRedis(replica.url);
  await until("the replica has taken over", async () => /role:master/.test(await redis.info("replication")), SLOW);
  disconnect(redis);
}

/** They join servers to each other, by loopback addresses. */
const isInContainers = process.env["TEST_REDIS_SERVER"] === "docker";
const testServers = isInContainers ? test.skip : test.concurrent;

describe("in a cluster, where jobs write to primaries other than their own", () => {
  testServers(
    "what only a primary that died had of a booking is folded into it again, and what waited with it",
    within(async (lifecycle) => {
      const { cluster, taken, triesFor, untilTried, untilTold, untilAllDone } = await start(lifecycle);
      const [primary, replica] = [cluster.primaries[1], cluster.replicas[1]] as [RedisServer, RedisServer];
      const [booked, missing] = [someoneIn(SECOND), someoneIn(SECOND)];
      const [next, last, early] = [someoneIn(FIRST), someoneIn(THIRD), someoneIn(FIRST)];
      expect(await taken(createdBody(booked))).toBe(true);
      await untilTold(SECOND, `${booked.id}.confirmed`);
      // It waits for the one in between, in that one's shard.
      expect(await taken(createdBody(last, next))).toBe(true);
      await untilTried(last);
      await untilAllDone();

      await cutOff(replica, primary);
      expect(await taken(createdBody(next, booked))).toBe(true);
      expect(await taken(createdBody(early, missing))).toBe(true);
      await untilTold(SECOND, `${last.id}.rescheduled`);
      await untilTried(next);
      await untilTried(early);
      await failOver(primary, replica);

      await untilTold(SECOND, `${next.id}.rescheduled`);
      await untilTold(SECOND, `${last.id}.rescheduled`);
      await primary.restart();
      await until("what was missing is taken", () => taken(createdBody(missing)), SLOW);
      await untilTold(SECOND, `${early.id}.rescheduled`);
      await untilAllDone();
      expect(triesFor(next)[0]).toBe("not replicated");
      expect(triesFor(early)[0]).toBe("not replicated");
    }),
    300_000,
  );

  testServers(
    "what waited elsewhere for a booking is there still when the booking's own primary dies",
    within(async (lifecycle) => {
      const { cluster, taken, triesFor, untilTried, untilTold, untilAllDone, stopWorker, startWorkerAgain } =
        await start(lifecycle);
      const [primary, replica] = [cluster.primaries[1], cluster.replicas[1]] as [RedisServer, RedisServer];
      const [booked, next, last] = [someoneIn(SECOND), someoneIn(FIRST), someoneIn(THIRD)];
      expect(await taken(createdBody(booked))).toBe(true);
      expect(await taken(createdBody(last, next))).toBe(true);
      await untilTold(SECOND, `${booked.id}.confirmed`);
      await untilAllDone();
      await stopWorker();
      expect(await taken(canceledBody(booked, { next }))).toBe(true);
      await cutOff(replica, primary);
      await startWorkerAgain();
      // It names the one that the other waits for.
      await untilTried(booked, "invitee.canceled");
      expect(triesFor(booked, "invitee.canceled")[0]).toBe("not replicated");
      await failOver(primary, replica);

      expect(await taken(createdBody(next, booked))).toBe(true);
      await untilTold(SECOND, `${last.id}.rescheduled`);
    }),
    300_000,
  );

  testServers(
    "what a comparison found is found again where only a primary that died had what came of it",
    within(async (lifecycle) => {
      const { simulator, id } = await someoneBookedInFirst();
      lifecycle.own("simulator", simulator, (owned) => owned.close());
      const variables = {
        CALENDLY_API_BASE_URL: simulator.url,
        CALENDLY_API_TOKEN: DEMO_TOKEN,
        CALENDLY_RECONCILE_GRACE: "0",
      };
      const { cluster, redis, triesOf, untilTold } = await start(lifecycle, variables);
      const [primary, replica] = [cluster.primaries[0], cluster.replicas[0]] as [RedisServer, RedisServer];
      const open = createPendingJobs({ redis, shards: SHARDS, contract: sweeps, log: silent });
      const jobs = lifecycle.own("jobs", open, (owned) => owned.close());

      await cutOff(replica, primary);
      await jobs.ensure(FIRST, { kind: "band", band: "near" }, 0);
      await untilTold(FIRST, `${id}.confirmed`);
      // That the event was read lies elsewhere, and would keep the next comparison from reading it.
      await until("it has compared", () => triesOf("near").length > 0, SLOW);
      await failOver(primary, replica);

      await jobs.ensure(FIRST, { kind: "band", band: "near" }, 0);
      await untilTold(FIRST, `${id}.confirmed`);
    }),
    300_000,
  );

  testServers(
    "what only a primary that died had of the pushes is handed on again",
    within(async (lifecycle) => {
      const { cluster, workerUrl, taken } = await start(lifecycle);
      const [primary, replica] = [cluster.primaries[0], cluster.replicas[0]] as [RedisServer, RedisServer];
      let status = 500;
      const { got, port } = await receive(lifecycle, () => status);
      const api = createApiClient(await workerUrl(), OPS);
      const added = await api("POST", "/api/destinations", { url: `http://127.0.0.1:${port}/hook` });
      expect(added.status).toBe(201);

      await cutOff(replica, primary);
      const person = someoneIn(THIRD);
      expect(await taken(createdBody(person))).toBe(true);
      await until("it is pushed in vain", () => got.includes(`${person.id}.confirmed`), SLOW);
      await failOver(primary, replica);
      got.length = 0;
      status = 204;

      await until("it is pushed", () => got.includes(`${person.id}.confirmed`), SLOW);
    }),
    300_000,
  );

  testServers(
    "what is pushed while a replica is away is handed on once, however long that takes",
    within(async (lifecycle) => {
      const { cluster, redis, workerUrl, taken, logged } = await start(lifecycle);
      const [primary, replica] = [cluster.primaries[0], cluster.replicas[0]] as [RedisServer, RedisServer];
      const { got, port } = await receive(lifecycle, () => 204);
      const api = createApiClient(await workerUrl(), OPS);
      const added = await api("POST", "/api/destinations", { url: `http://127.0.0.1:${port}/hook` });
      const queue = `${FIRST.tag}:push-${added.body.id}`;

      await cutOff(replica, primary);
      const person = someoneIn(THIRD);
      expect(await taken(createdBody(person))).toBe(true);
      const done = await until("it is pushed", async () => (await redis.zrange(`${queue}:completed`, 0, "0"))[0], SLOW);
      // As it is after an hour.
      await redis.multi().zrem(`${queue}:completed`, done).del(`${queue}:${done}`).exec();
      const waits = () => logged(/^could not hand outcomes on|^replicas do not have the pushes/);
      const before = waits();
      await until("it was waited for again and again", () => waits() >= before + 3, SLOW);
      await joinAgain(replica, primary);
      const stream = outcomeStreamKey(THIRD);
      const isHandedOn = async () => (await redis.xpending(stream, PUSH_GROUP))[0] === 0;
      await until("it is handed on", isHandedOn, SLOW);
      expect(got).toEqual([`${person.id}.confirmed`]);
    }),
    300_000,
  );

  testServers(
    "whoever writes elsewhere waits for replicas as long as it takes, and nobody else does",
    within(async (lifecycle) => {
      const { cluster, redis, taken, triesFor, untilTried, untilTold } = await start(lifecycle);
      const [primaries, replicas] = [cluster.primaries, cluster.replicas] as [RedisServer[], RedisServer[]];
      const [ofFirst, ofSecond, ofThird] = primaries as [RedisServer, RedisServer, RedisServer];
      const quarantine = createQuarantine({ redis, shards: SHARDS, retentionDays: 90 });
      const [first, second, rival] = [someoneIn(THIRD), someoneIn(THIRD), someoneIn(THIRD)];
      for (const body of [createdBody(first), createdBody(second, first)]) expect(await taken(body)).toBe(true);
      await untilTold(THIRD, `${second.id}.rescheduled`);

      // What makes no chain is put in quarantine, in the first shard.
      await cutOff(replicas[0] as RedisServer, ofFirst);
      expect(await taken(createdBody(rival, first))).toBe(true);
      await untilTried(rival);
      await joinAgain(replicas[0] as RedisServer, ofFirst);
      await until("it is in quarantine for good", () => triesFor(rival).at(-1) === "quarantined", SLOW);
      expect(new Set(triesFor(rival).slice(0, -1))).toEqual(new Set(["not replicated"]));

      // By itself: what has come before the replica was away.
      await cutOff(replicas[2] as RedisServer, ofThird);
      const alone = someoneIn(THIRD);
      const producer = createProducer({ redis, contract: deliveries, deduplicationMs: 60_000, deadlineMs: 5_000 });
      const identity = `invitee.created/${alone.id}`;
      const [body, receivedAt] = [createdBody(alone), new Date().toISOString()];
      await producer.enqueue(THIRD, "invitee.created", { identity, body, receivedAt, origin: "webhook" });
      await untilTried(alone);
      expect(triesFor(alone)).toEqual(["folded"]);
      await joinAgain(replicas[2] as RedisServer, ofThird);

      // What is replayed leaves the quarantine when its job cannot be lost any more.
      await cutOff(replicas[1] as RedisServer, ofSecond);
      const replayed = await until("its job lies in the second shard", () => {
        const person = newInvitee();
        return SHARDS.of(`invitee.created/${person.id}`) === SECOND && person;
      });
      const id = `invitee.created/${replayed.id}`;
      const entry = { id, reason: "unreadable", problems: [], receivedAt, body: Buffer.from(createdBody(replayed)) };
      await quarantine.keep(entry);
      const settings = { ...VARIABLES, REDIS_URL: cluster.url, CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY };
      expect(await runCommand(["quarantine", "replay", id], settings)).toMatchObject({ status: 0 });
      await untilTried(replayed);
      expect(triesFor(replayed)[0]).toBe("not replicated");
      expect(await quarantine.get(id)).toBeDefined();
      await joinAgain(replicas[1] as RedisServer, ofSecond);
      await until("it is taken up", () => triesFor(replayed).at(-1) === "folded", SLOW);
      expect(await quarantine.get(id)).toBeUndefined();
    }),
    300_000,
  );
});
