import { createLifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, hostTimesKey, indexKey, queuePrefix } from "@calendly-worker/core/redis/keys";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { LogLine } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { deliver } from "../support/deliveries.ts";
import { type RedisServer, startRedisNode } from "../support/redis-node.ts";
import { type Ingest, startIngest, startWorker } from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

const { first } = createShards(1);
const AT_ONCE = 40;
const UNREADABLE = JSON.stringify({ event: "invitee.created", payload: { uri: "nobody's" } });

let primary: RedisServer;
let replica: RedisServer;
let ingest: Ingest;

beforeAll(async () => {
  primary = await startRedisNode();
  replica = await startReplica(primary);
  ingest = await startIngest(primary.url, { REDIS_WAIT_REPLICAS: "1" });
  await ingest.untilLogged("ready for deliveries");
});

let lifecycle = createLifecycle(silent);
beforeEach(() => {
  lifecycle = createLifecycle(silent);
});
afterEach(() => lifecycle.close("the test is over"));

afterAll(async () => {
  await ingest?.end();
  await replica?.stop();
  await primary?.stop();
});

async function startReplica(of: RedisServer): Promise<RedisServer> {
  const server = await startRedisNode({ settings: ["--replicaof", "127.0.0.1", String(of.port)] });
  await untilFollowed(of);
  return server;
}

async function untilFollowed({ url }: RedisServer): Promise<void> {
  const redis = await connectRedis(url);
  await until("a replica has all", async () => /slave\d+:.*state=online/.test(await redis.info("replication")));
  disconnect(redis);
}

async function waitingAt({ url }: RedisServer): Promise<number> {
  const redis = await connectRedis(url);
  const count = await redis.llen(`${queuePrefix(first, "deliveries")}wait`);
  disconnect(redis);
  return count;
}

const readiness = async () => (await fetch(`${ingest.baseUrl}/readyz`)).status;

test("what is acknowledged is at the replica by then, however many come at once", async () => {
  const before = await waitingAt(replica);
  const answers = await Promise.all(
    Array.from({ length: AT_ONCE }, () => deliver(ingest.webhookUrl, createdBody(newInvitee()))),
  );
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(await waitingAt(replica)).toBe(before + AT_ONCE);
  expect(await readiness()).toBe(200);
});

test("what the replica has not got is answered 503 in time, repeats and what nobody can read too", async () => {
  const body = createdBody(newInvitee());
  const before = await waitingAt(replica);
  replica.freeze();
  const answer = await deliver(ingest.webhookUrl, body);
  expect(answer).toMatchObject({ status: 503, body: { error: { code: "queue_unavailable" } } });
  const isAnswer = ({ msg, result }: LogLine) => msg === "delivery" && result === "unavailable";
  const told = await until("the ingest tells how long it took", () => ingest.logs.find(isAnswer));
  expect(told["ms"]).toBeLessThan(2_000);
  // Redis has both by now, and would take a repeat for one without writing anything of it.
  expect((await deliver(ingest.webhookUrl, body)).status).toBe(503);
  expect((await deliver(ingest.webhookUrl, UNREADABLE)).status).toBe(503);
  expect((await deliver(ingest.webhookUrl, UNREADABLE)).status).toBe(503);
  expect(await readiness()).toBe(503);
  expect(ingest.output()).toContain("0 of 1 replicas have it");

  replica.thaw();
  const again = await until("the replica is there again", async () => {
    const answer = await deliver(ingest.webhookUrl, body);
    return answer.status === 200 && answer;
  });
  expect(again.body).toMatchObject({ status: "duplicate" });
  expect((await deliver(ingest.webhookUrl, UNREADABLE)).body).toMatchObject({ status: "quarantined" });
  expect(await waitingAt(replica)).toBe(before + 1);
  expect(await readiness()).toBe(200);
});

test("what only a primary that was replaced has is not acknowledged on the word of its successor's replicas", async () => {
  const old = lifecycle.own("old", await startRedisNode(), (owned) => owned.stop());
  const successor = lifecycle.own("successor", await startReplica(old), (owned) => owned.stop());
  const another = lifecycle.own("another", await startReplica(old), (owned) => owned.stop());
  const proxy = lifecycle.own("proxy", await startTcpProxy(old.port), (owned) => owned.close());
  const variables = { REDIS_WAIT_REPLICAS: "1" };
  const starting = startIngest(`redis://127.0.0.1:${proxy.port}`, variables);
  const led = lifecycle.own("ingest", await starting, (owned) => owned.end());
  await led.untilLogged("ready for deliveries");

  // As Sentinels do it: the replicas are turned round first, then connections to the old one are closed.
  const first = lifecycle.own("first", await connectRedis(successor.url), disconnect);
  const second = lifecycle.own("second", await connectRedis(another.url), disconnect);
  await first.replicaof("NO", "ONE");
  await second.replicaof("127.0.0.1", successor.port);
  await untilFollowed(successor);
  const body = createdBody(newInvitee());
  const answering = deliver(led.webhookUrl, body);
  await until("the old one has the delivery", async () => (await waitingAt(old)) === 1, { everyMs: 5 });
  proxy.leadTo(successor.port);

  expect((await answering).status).toBe(503);
  expect(await waitingAt(successor)).toBe(0);
  const again = await until("the successor takes it", async () => {
    const answer = await deliver(led.webhookUrl, body);
    return answer.status === 200 && answer;
  });
  expect(again.body).toMatchObject({ status: "accepted" });
  expect(await waitingAt(another)).toBe(1);
});

test("a job that was begun with a primary which was replaced is not done by a word to its successor", async () => {
  const old = lifecycle.own("old", await startRedisNode(), (owned) => owned.stop());
  const successor = lifecycle.own("successor", await startReplica(old), (owned) => owned.stop());
  const proxy = lifecycle.own("proxy", await startTcpProxy(old.port), (owned) => owned.close());
  const variables = { REDIS_WAIT_REPLICAS: "1" };
  const led = startWorker(`redis://127.0.0.1:${proxy.port}`, variables);
  lifecycle.own("worker", led, (owned) => owned.end());
  await led.untilLogged("taking jobs");
  const ofOld = lifecycle.own("connection", await connectRedis(old.url), disconnect);
  const ofSuccessor = lifecycle.own("connection", await connectRedis(successor.url), disconnect);
  const outcomesOf = async (redis: Redis) => (await readOutcomes(redis, first)).map(({ event }) => event.id);

  // The successor knows that the job was begun, by whom, and nothing of what came of it.
  const person = newInvitee();
  const begun = proxy.holdAt(indexKey(first, person.id), "before");
  const producer = createProducer({ redis: ofOld, contract: deliveries, deduplicationMs: 60_000, deadlineMs: 5_000 });
  const [body, receivedAt] = [createdBody(person), new Date().toISOString()];
  const identity = `invitee.created/${person.id}`;
  await producer.enqueue(first, "invitee.created", { identity, body, receivedAt, origin: "webhook" });
  await begun;
  const active = `${queuePrefix(first, "deliveries")}active`;
  await until("the successor knows of the job", async () => (await ofSuccessor.llen(active)) === 1);
  await ofSuccessor.replicaof("NO", "ONE");
  const committed = proxy.holdAt(hostTimesKey(first, person.id), "before");
  proxy.letGo();
  await committed;
  expect(await outcomesOf(ofOld)).toEqual([`${person.id}.confirmed`]);
  proxy.leadTo(successor.port);

  const isTold = async () => (await outcomesOf(ofSuccessor)).includes(`${person.id}.confirmed`);
  await until("what came of the job is there again", isTold, { deadlineMs: 20_000 });
}, 120_000);
