import { readFileSync } from "node:fs";
import { createLifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { createOutcomeConsumer, openRedis } from "@calendly-worker/core/outcomes";
import { groupAcl } from "@calendly-worker/core/outcomes/group-acl";
import { connectProducer, connectWorker, disconnect, reconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { Cluster } from "ioredis";
import type { Variables } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { createCertificate, trust } from "../support/certificate.ts";
import { runCommand } from "../support/cli.ts";
import { startCluster } from "../support/cluster.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { asUser } from "../support/redis-address.ts";
import { administratorOf, type RedisUser, startRedisNode } from "../support/redis-node.ts";
import { startSentinels } from "../support/sentinels.ts";
import { startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { callEach } from "../support/whole-redis.ts";

// What docs/redis.md shows is what is tried here.
const PAGE = readFileSync(new URL("../../docs/redis.md", import.meta.url), "utf8");
const [, RULES = ""] = /^ACL SETUSER calendly on >PASSWORD (.+)$/m.exec(PAGE) ?? [];
/** With what must be encoded in an address. */
const user: RedisUser = { name: "calendly", password: "p@ss/w:rd", rules: RULES };
const WRONG = "not-the-password";
const BOOKINGS = 8;
/** The last primary has it. */
const LAST_SLOT = "16383";

let lifecycle = createLifecycle(silent);
beforeEach(() => {
  lifecycle = createLifecycle(silent);
});
afterEach(() => lifecycle.close("the test is over"));

const own = <T extends { end(): Promise<void> }>(name: string, app: T): T =>
  lifecycle.own(name, app, (owned) => owned.end());

interface Topology {
  readonly url: string;
  /** What the apps' environment holds besides. */
  readonly variables: Variables;
  /** Addresses of the nodes, as if they were alone. */
  readonly nodes?: readonly string[];
}

async function startTls(): Promise<Topology> {
  const certificate = lifecycle.own("certificate", createCertificate(), (owned) => owned.remove());
  trust(certificate);
  const { url } = lifecycle.own("redis", await startRedisNode({ user, certificate }), (owned) => owned.stop());
  return { url, variables: { NODE_EXTRA_CA_CERTS: certificate.ca } };
}

async function startSentinel(): Promise<Topology> {
  const primary = lifecycle.own("redis", await startRedisNode({ user }), (owned) => owned.stop());
  const { url } = lifecycle.own("sentinels", await startSentinels(primary, { user }), (owned) => owned.stop());
  return { url, variables: { REDIS_WAIT_REPLICAS: "1" } };
}

async function startClusterOfThree(): Promise<Topology> {
  const { url, primaries } = lifecycle.own("cluster", await startCluster({ user }), (owned) => owned.stop());
  return {
    url,
    variables: { CALENDLY_SHARDS: "3", REDIS_WAIT_REPLICAS: "1" },
    nodes: primaries.map((node) => node.url),
  };
}

async function startTlsSentinel(): Promise<Topology> {
  const certificate = lifecycle.own("certificate", createCertificate(), (owned) => owned.remove());
  trust(certificate);
  const options = { user, certificate };
  const primary = lifecycle.own("redis", await startRedisNode(options), (owned) => owned.stop());
  const { url } = lifecycle.own("sentinels", await startSentinels(primary, options), (owned) => owned.stop());
  return { url, variables: { REDIS_WAIT_REPLICAS: "1", NODE_EXTRA_CA_CERTS: certificate.ca } };
}

/** Its certificate is for a name, so that nobody who goes by the IP address gets in. */
async function startTlsCluster(): Promise<Topology> {
  const certificate = lifecycle.own("certificate", createCertificate(["DNS:localhost"]), (owned) => owned.remove());
  trust(certificate);
  const cluster = await startCluster({ user, certificate }, undefined, "localhost");
  const { url } = lifecycle.own("cluster", cluster, (owned) => owned.stop());
  return {
    url,
    variables: { CALENDLY_SHARDS: "3", REDIS_WAIT_REPLICAS: "1", NODE_EXTRA_CA_CERTS: certificate.ca },
  };
}

/** Has every primary let in whom that line of the ACL says. */
async function letIn(url: string, acl: string): Promise<void> {
  const { name = "", password = "" } = administratorOf(user) ?? {};
  const redis = await connectRedis(asUser(url, name, password));
  const [command = "", ...line] = acl.split(" ");
  const selector = line.findIndex((part) => part.startsWith("("));
  await callEach(redis, command, ...line.slice(0, selector), line.slice(selector).join(" "));
  disconnect(redis);
}

/** From deliveries to what a consumer hears of them, what doctor says and what is listed. */
async function tellTheStory({ url, variables }: Topology): Promise<void> {
  const worker = own("worker", startWorker(url, variables));
  const ingest = own("ingest", await startIngest(url, variables));
  await Promise.all([worker.untilLogged("taking jobs", 30_000), ingest.untilLogged("ready for deliveries", 30_000)]);

  const heard: string[] = [];
  const trouble: string[] = [];
  const shards = createShards(Number(variables["CALENDLY_SHARDS"] ?? 1));
  await letIn(url, groupAcl("crm", shards).replace("PASSWORD", "secret"));
  const consumer = createOutcomeConsumer({
    redis: lifecycle.own("connection", openRedis(asUser(url, "crm", "secret")), disconnect),
    group: "crm",
    onOutcome: async ({ id }) => void heard.push(id),
    onError: (error) => trouble.push(String(error)),
  });
  const ended = consumer.run();
  lifecycle.own("consumer", consumer, async (owned) => {
    await owned.stop();
    await ended;
  });
  const people = Array.from({ length: BOOKINGS }, () => newInvitee());
  for (const person of people) expect((await deliver(ingest.webhookUrl, createdBody(person))).status).toBe(200);
  await until("all is heard", () => heard.length === BOOKINGS, { deadlineMs: 30_000 });
  expect(trouble).toEqual([]);
  expect(heard.toSorted()).toEqual(people.map(({ id }) => `${id}.confirmed`).toSorted());

  const settings = { ...variables, REDIS_URL: url, CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY };
  const [doctor, list] = await Promise.all([
    runCommand(["doctor", "--json"], settings),
    runCommand(["bookings", "list", "--json"], settings),
  ]);
  const findings: { check: string; status: string }[] = JSON.parse(doctor.stdout);
  const found = Object.fromEntries(findings.map(({ check, status }) => [check, status]));
  expect(found).toMatchObject({ redis: "ok", workers: "ok", ingests: "ok", queues: "ok" });
  expect(list).toMatchObject({ status: 0 });
  for (const { id } of people) expect(list.stdout).toContain(id);
  expect([worker, ingest].map((app) => app.output()).join("\n")).not.toContain(encodeURIComponent(user.password));
}

/** Whoever is not let in says why, and waits; a command ends. The password is not said. */
async function expectRefusal(url: string, variables: Variables, why: RegExp): Promise<void> {
  // It takes as long as it tries; the apps are looked at meanwhile.
  const command = runCommand(["bookings", "list"], { ...variables, REDIS_URL: url });
  const worker = own("refused worker", startWorker(url, variables));
  const ingest = own("refused ingest", await startIngest(url, variables));
  for (const app of [ingest, worker]) {
    const { err } = await app.untilLogged("redis is not reachable, trying again", 20_000);
    expect(JSON.stringify(err)).toMatch(why);
    expect(app.output()).not.toContain(WRONG);
  }
  expect((await fetch(`${ingest.baseUrl}/readyz`)).status).toBe(503);
  expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(503);
  const { status, stderr } = await command;
  expect(status).toBe(1);
  expect(stderr).toMatch(why);
  expect(stderr).toContain("REDIS_URL");
  expect(stderr).not.toContain(WRONG);
}

/** They join servers to each other, by loopback addresses. */
const isInContainers = process.env["TEST_REDIS_SERVER"] === "docker";
const describeServers = isInContainers ? describe.skip : describe;

describeServers(`on each kind of Redis${isInContainers ? " (needs a redis-server on the PATH)" : ""}`, () => {
  describe.each([
    ["TLS, a user and a password", startTls],
    ["Sentinels, a user and a password", startSentinel],
    ["a cluster of three shards, a user and a password", startClusterOfThree],
    ["TLS to Sentinels and primary, a user and a password", startTlsSentinel],
    ["TLS to a cluster by its name, a user and a password", startTlsCluster],
  ])("with %s", (_, start) => {
    test("what is delivered comes out, and whoever has the wrong password is told so", async () => {
      const topology = await start();
      await tellTheStory(topology);
      const asOneServer = (topology.nodes ?? []).map((node) => runCommand(["bookings", "list"], { REDIS_URL: node }));
      for (const { status, stderr } of await Promise.all(asOneServer)) {
        expect({ status, stderr }).toEqual({ status: 78, stderr: expect.stringContaining("redis-cluster://") });
      }
      await expectRefusal(asUser(topology.url, user.name, WRONG), topology.variables, /WRONGPASS/);
    }, 360_000);
  });

  test("a connection that a cluster was asked for while it failed is there when it no longer does", async () => {
    const { url, primaries } = lifecycle.own("cluster", await startCluster(), (owned) => owned.stop());
    const nodes = await Promise.all(
      primaries.map(async (node) => lifecycle.own("node", await connectRedis(node.url), disconnect)),
    );
    for (const node of nodes) {
      await node.call("CONFIG", "RESETSTAT");
      await node.call("CLUSTER", "DELSLOTS", LAST_SLOT);
    }
    const connection = lifecycle.own("connection", connectWorker(url, silent), disconnect) as Cluster;
    // As BullMQ makes one to block on.
    const blocking = lifecycle.own("its copy", connection.duplicate(undefined, { lazyConnect: true }), disconnect);
    const connected = blocking.connect();
    const isTold = async () => {
      const stats = await Promise.all(nodes.map((node) => node.info("commandstats")));
      return stats.some((text) => text.includes("cmdstat_cluster|info:"));
    };
    await until("it is told that the cluster fails", isTold, { deadlineMs: 30_000 });
    await nodes.at(-1)?.call("CLUSTER", "ADDSLOTS", LAST_SLOT);
    await connected;
    expect(await blocking.set("key", "value")).toBe("OK");
  }, 60_000);

  test("a connection that is given up while Sentinels are asked is made all the same", async () => {
    const primary = lifecycle.own("redis", await startRedisNode(), (owned) => owned.stop());
    const { url } = lifecycle.own("sentinels", await startSentinels(primary, {}), (owned) => owned.stop());
    const connection = lifecycle.own("connection", connectProducer(url, silent), disconnect);
    reconnect(connection);
    await untilReady(connection, AbortSignal.timeout(10_000));
    expect(await connection.set("key", "value")).toBe("OK");
  });

  test("a certificate that nobody vouches for is said to be so", async () => {
    const { url } = await startTls();
    await expectRefusal(url, {}, /certificate/);
  });
});
