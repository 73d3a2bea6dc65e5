import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { apiBudgetKey, deploymentKey, heartbeatsKey } from "@calendly-worker/core/redis/keys";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { Subscription } from "../simulator/subscriptions.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { listenOnLoopback } from "../support/listen.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, METRICS_TOKEN, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly advice?: string;
}

let server: RedisServer;
let simulator: Simulator;
let ingest: Ingest;
let worker: AppProcess;
let subscription: Subscription;
/** What a case has changed. */
let undo: (() => unknown)[] = [];

beforeAll(async () => {
  server = await startRedis();
  simulator = await startSimulator({ seed: 21, rateLimit: 100_000 });
  [ingest, worker] = [await startIngest(server.url), startWorker(server.url)];
  await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
  subscription = simulator.subscribe(ingest.webhookUrl, SIGNING_KEY);
  expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
  const redis = await connectRedis(server.url);
  await until("the delivery is counted", async () =>
    JSON.stringify(await redis.hgetall("{calendly:0}:signing-keys")).includes(":last_used"),
  );
  disconnect(redis);
});

afterEach(async () => {
  for (const step of undo.toReversed()) await step();
  undo = [];
});

afterAll(async () => {
  await Promise.all([ingest?.end("SIGKILL"), worker?.end("SIGKILL")]);
  await simulator?.close();
  await server?.stop();
});

const sound = (): Variables => ({
  REDIS_URL: server.url,
  CALENDLY_API_BASE_URL: simulator.url,
  CALENDLY_API_TOKEN: DEMO_TOKEN,
  CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
  CALENDLY_WEBHOOK_BASE_URL: ingest.baseUrl,
  METRICS_TOKEN,
  OPS_API_TOKEN: "test-ops-token-not-a-secret",
});

async function examine(variables: Variables = {}) {
  const { status, stdout, stderr } = await runCommand(["doctor", "--json"], { ...sound(), ...variables });
  expect(stdout + stderr).not.toMatch(new RegExp(`${SIGNING_KEY}|${DEMO_TOKEN}|not-a-secret`));
  const findings = JSON.parse(stdout) as Finding[];
  return { status, findings, faults: findings.filter((finding) => finding.status === "fault") };
}

test("a sound set-up is found sound, soon", async () => {
  const from = performance.now();
  const { status, findings } = await examine();
  expect(findings.filter((finding) => finding.status !== "ok")).toEqual([]);
  expect(status).toBe(0);
  expect(performance.now() - from).toBeLessThan(15_000);
  expect(new Set(findings.map(({ check }) => check))).toEqual(
    new Set([
      "settings",
      "time zones",
      "signing key",
      "access",
      "redis",
      "redis' clock",
      "workers",
      "ingests",
      "deliveries",
      "queues",
      "calendly's clock",
      "rate limit",
      "token",
      "organization",
      "event types",
      "subscription",
      "public address",
    ]),
  );
  const inWords = await runCommand(["doctor"], sound());
  expect(inWords.stdout).toMatch(/^ok {7}redis: Redis is reachable/m);
  expect(inWords.stdout.trim().split("\n").at(-1)).toBe("All is well.");
});

/** Gives the address of a server that listens until the end of the test. */
async function serve(answer: RequestListener): Promise<string> {
  const listening = createServer(answer);
  undo.push(() => {
    listening.closeAllConnections();
    listening.close();
  });
  return await listenOnLoopback(listening);
}

/** A reverse proxy that reads JSON and writes it again, as some do. */
async function startMeddlingProxy(): Promise<string> {
  return await serve(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const answer = await fetch(ingest.webhookUrl, {
      method: "POST",
      body: JSON.stringify(JSON.parse(Buffer.concat(chunks).toString("utf8"))),
      headers: { "calendly-webhook-signature": String(request.headers["calendly-webhook-signature"]) },
    });
    response.writeHead(answer.status).end(await answer.text());
  });
}

/** Before Calendly: whoever asks for the subscriptions gets no answer. */
async function startSilentOnSubscriptions(): Promise<string> {
  return await serve(async ({ url = "", headers: { authorization = "" } }, response) => {
    if (url.startsWith("/webhook_subscriptions")) return;
    const answer = await fetch(new URL(url, simulator.url), { headers: { authorization } });
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  });
}

async function onAnotherRedis(settings: readonly string[] = []): Promise<Variables> {
  const other = await startRedis({ settings });
  undo.push(() => other.stop());
  return { REDIS_URL: other.url };
}

const LONG_AGO = String(Date.now() - 20 * 60_000);

/** A Redis that nobody works on, with a delivery that has waited, and with a heartbeat, of long ago. */
async function onForsakenRedis(): Promise<{ variables: Variables; redis: Redis }> {
  const variables = await onAnotherRedis();
  const redis = await connectRedis(String(variables["REDIS_URL"]));
  undo.push(() => disconnect(redis));
  await redis.hset("{calendly:0}:deliveries:1", "timestamp", LONG_AGO);
  await redis.lpush("{calendly:0}:deliveries:wait", "1");
  await redis.hset(heartbeatsKey, { "deliveries/0": LONG_AGO, "sweeps/0": String(Date.now()) });
  return { variables, redis };
}

async function inRedis(
  command: readonly [string, ...string[]],
  back: readonly [string, ...string[]],
): Promise<Variables> {
  const redis = await connectRedis(server.url);
  await redis.call(...command);
  undo.push(async () => {
    await redis.call(...back);
    disconnect(redis);
  });
  return {};
}

function withSubscription(change: Partial<Subscription>): Variables {
  const before = { ...subscription };
  Object.assign(subscription, change);
  undo.push(() => Object.assign(subscription, before));
  return {};
}

/** From now on, to the end of the test. */
function answerAfter(apiLatencyMs: number): void {
  simulator.setFaults({ apiLatencyMs });
  undo.push(() => simulator.setFaults({ apiLatencyMs: 0 }));
}

/** Two tokens and all of Calendly's questions that there can be. */
function withMuchToAsk(): Variables {
  const second = "a-second-one-not-a-secret";
  simulator.setToken(second);
  const uris = ["intro", "panel", "webinar", "sales-call"].map(
    (slug) => simulator.account.updateEventType(slug, {}).uri,
  );
  return { CALENDLY_API_TOKEN_SECONDARY: second, CALENDLY_EVENT_TYPES: uris.join() };
}

test("a sound set-up is found sound where Calendly is slow", async () => {
  answerAfter(400);
  const { status, findings } = await examine(withMuchToAsk());
  expect(findings.filter((finding) => finding.status !== "ok")).toEqual([]);
  expect(status).toBe(0);
  expect(findings.filter(({ check }) => check === "token")).toHaveLength(2);
});

test("where Calendly is too slow for all questions, what it did answer is told", async () => {
  const CALENDLY_API_BASE_URL = await startSilentOnSubscriptions();
  const { status, findings, faults } = await examine({ ...withMuchToAsk(), CALENDLY_API_BASE_URL });
  expect(status).toBe(1);
  expect(faults).toEqual([
    expect.objectContaining({ check: "organization", message: "There was no answer within 4.5 s." }),
  ]);
  for (const check of ["rate limit", "token", "event types"]) {
    expect(findings).toContainEqual(expect.objectContaining({ check, status: "ok" }));
  }
});

test("whoever only looks at an empty Redis settles nothing of the installation that begins with it", async () => {
  const empty = await onAnotherRedis();
  const url = String(empty["REDIS_URL"]);
  const redis = await connectRedis(url);
  undo.push(() => disconnect(redis));
  const { findings } = await examine(empty);
  expect(findings).toContainEqual(expect.objectContaining({ check: "queues", status: "ok" }));
  expect(findings).toContainEqual({
    check: "installation",
    status: "warning",
    message: expect.stringContaining("Nothing has been started with this Redis yet"),
    advice: expect.stringContaining("CALENDLY_SHARDS"),
  });
  expect(await runCommand(["webhooks", "list"], { ...sound(), ...empty })).toMatchObject({ status: 0 });
  expect(Object.keys(await redis.hgetall(deploymentKey))).toEqual(["fingerprint_key"]);

  const from = Date.now();
  const three = { CALENDLY_SHARDS: "3" };
  const [first, other] = [await startIngest(url, three), startWorker(url, three)];
  undo.push(() => Promise.all([first.end(), other.end()]));
  await Promise.all([first.untilLogged("ready for deliveries"), other.untilLogged("taking jobs")]);
  const { shards, began_at } = await redis.hgetall(deploymentKey);
  expect(shards).toBe("3");
  expect(Number(began_at)).toBeGreaterThanOrEqual(from);
  const { findings: then } = await examine({ ...empty, ...three });
  expect(then.map(({ check }) => check)).not.toContain("installation");
});

interface Broken {
  readonly what: string;
  readonly breakIt: () => Variables | Promise<Variables>;
  readonly check: string;
  readonly message: RegExp;
  readonly advice: RegExp;
}

const BROKEN: readonly Broken[] = [
  {
    what: "fewer replicas than are to have a delivery",
    breakIt: () => ({ REDIS_WAIT_REPLICAS: "10" }),
    check: "redis",
    message: /Deliveries are answered 503: \d of 10 replicas have it/,
    advice: /REDIS_WAIT_REPLICAS/,
  },
  {
    what: "a setting that cannot be read",
    breakIt: () => ({ CALENDLY_CACHE_TTL: "soon" }),
    check: "settings",
    message: /CALENDLY_CACHE_TTL: expected a whole number/,
    advice: /\.env/,
  },
  {
    what: "no signing key",
    breakIt: () => ({ CALENDLY_WEBHOOK_SIGNING_KEY: "" }),
    check: "signing key",
    message: /is not set/,
    advice: /openssl rand/,
  },
  {
    what: "another signing key than the ingest's",
    breakIt: () => ({ CALENDLY_WEBHOOK_SIGNING_KEY: "wrong-key-not-a-secret" }),
    check: "signing key",
    message: /1 of 1 ingests do not accept/,
    advice: /same keys/,
  },
  {
    what: "one of two ingests whose environment was put back",
    async breakIt() {
      const putBack = await startIngest(server.url, { CALENDLY_WEBHOOK_SIGNING_KEY: "before-that-not-a-secret" });
      undo.push(() => putBack.end());
      await putBack.untilLogged("ready for deliveries");
      const redis = await connectRedis(server.url);
      const store = createSubscriptionStore(redis);
      await store.rememberKey(subscription.uri, (await openFingerprints(redis))(SIGNING_KEY));
      undo.push(async () => {
        await store.forgetKey(subscription.uri);
        disconnect(redis);
      });
      return {};
    },
    check: "signing key",
    message: /1 of 2 ingests do not accept the key \w+ of a live subscription/,
    advice: /Restore that key/,
  },
  {
    what: "no Redis",
    breakIt: async () => ({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` }),
    check: "redis",
    message: /could not be reached/,
    advice: /REDIS_URL/,
  },
  {
    what: "a Redis that evicts",
    breakIt: () => onAnotherRedis(["--maxmemory-policy", "allkeys-lru"]),
    check: "redis",
    message: /not safe/,
    advice: /settings of Redis/,
  },
  {
    what: "a Redis that keeps nothing",
    breakIt: () => onAnotherRedis(["--appendonly", "no"]),
    check: "redis",
    message: /not safe/,
    advice: /settings of Redis/,
  },
  {
    what: "another number of shards",
    breakIt: () => ({ CALENDLY_SHARDS: "4" }),
    check: "redis",
    message: /CALENDLY_SHARDS is 4/,
    advice: /message/,
  },
  {
    what: "no worker",
    breakIt: () => onAnotherRedis(),
    check: "workers",
    message: /No worker is alive/,
    advice: /start:worker/,
  },
  {
    what: "no ingest",
    breakIt: () => onAnotherRedis(),
    check: "ingests",
    message: /No ingest is alive/,
    advice: /start:ingest/,
  },
  {
    what: "a paused queue",
    breakIt: () =>
      inRedis(
        ["HSET", "{calendly:0}:deliveries:meta", "paused", "1"],
        ["HDEL", "{calendly:0}:deliveries:meta", "paused"],
      ),
    check: "queues",
    message: /Paused: deliveries/,
    advice: /queue resume/,
  },
  {
    what: "a queue that no heartbeat goes through",
    // Of a shard that is not there, so that the worker's next one leaves it as it is.
    breakIt: () => inRedis(["HSET", heartbeatsKey, "sweeps/7", LONG_AGO], ["HDEL", heartbeatsKey, "sweeps/7"]),
    check: "queues",
    message: /^Nobody works on sweeps: no heartbeat .* 5 minutes/,
    advice: /Restart the workers/,
  },
  {
    what: "a delivery that has waited for too long",
    breakIt: async () => (await onForsakenRedis()).variables,
    check: "queues",
    message: /^A delivery has waited for 2\d minutes/,
    advice: /queue status/,
  },
  {
    what: "no token",
    breakIt: () => ({ CALENDLY_API_TOKEN: "" }),
    check: "token",
    message: /is not set/,
    advice: /personal access token/,
  },
  {
    what: "a revoked token",
    breakIt: () => {
      simulator.setToken("gone", { state: "revoked" });
      return { CALENDLY_API_TOKEN: "gone" };
    },
    check: "token",
    message: /revoked/,
    advice: /new token/,
  },
  {
    what: "a token that lacks scopes",
    breakIt: () => {
      simulator.setToken("narrow", { scopes: ["users:read", "webhooks:read", "scheduled_events:read"] });
      return { CALENDLY_API_TOKEN: "narrow" };
    },
    check: "scopes",
    message: /lacks .*event_types:read/,
    advice: /scopes of an existing one cannot be changed/,
  },
  {
    what: "a token of somebody who is no admin",
    breakIt: () => {
      simulator.setToken("a-hosts-own", { user: "mara.lindqvist" });
      return { CALENDLY_API_TOKEN: "a-hosts-own" };
    },
    check: "organization",
    message: /may not look at the organization's subscriptions/,
    advice: /owner or admin/,
  },
  {
    what: "another organization",
    breakIt: () => ({ CALENDLY_ORGANIZATION: "https://api.calendly.com/organizations/ELSEWHERE" }),
    check: "organization",
    message: /organizations\/ELSEWHERE/,
    advice: /CALENDLY_ORGANIZATION/,
  },
  {
    what: "an event type that is not there",
    breakIt: () => ({ CALENDLY_EVENT_TYPES: "NOWHERE" }),
    check: "event types",
    message: /NOWHERE: Calendly does not know it/,
    advice: /CALENDLY_EVENT_TYPES/,
  },
  {
    what: "an event type that is switched off",
    breakIt: () => {
      const { uri } = simulator.account.updateEventType("panel", { active: false });
      undo.push(() => simulator.account.updateEventType("panel", { active: true }));
      return { CALENDLY_EVENT_TYPES: uri };
    },
    check: "event types",
    message: /is not active at Calendly/,
    advice: /switch the event type on/,
  },
  {
    what: "no public address",
    breakIt: () => ({ CALENDLY_WEBHOOK_BASE_URL: "" }),
    check: "public address",
    message: /is not set/,
    advice: /address that Calendly reaches/,
  },
  {
    what: "a public address that leads nowhere",
    breakIt: async () => ({ CALENDLY_WEBHOOK_BASE_URL: `http://127.0.0.1:${await freePort()}` }),
    check: "public address",
    message: /cannot be reached/,
    advice: /firewall/,
  },
  {
    what: "another path",
    breakIt: () => ({ CALENDLY_WEBHOOK_ENDPOINT_PREFIX: "/elsewhere" }),
    check: "public address",
    message: /answers 404 not_found/,
    advice: /CALENDLY_WEBHOOK_ENDPOINT_PREFIX/,
  },
  {
    what: "a proxy that changes the body",
    breakIt: async () => ({ CALENDLY_WEBHOOK_BASE_URL: await startMeddlingProxy() }),
    check: "public address",
    message: /401 signature_mismatch/,
    advice: /raw bytes/,
  },
  {
    what: "no subscription",
    breakIt: () => ({ CALENDLY_WEBHOOK_BASE_URL: ingest.baseUrl.replace("127.0.0.1", "localhost") }),
    check: "subscription",
    message: /no subscription/,
    advice: /webhooks register/,
  },
  {
    what: "a disabled subscription",
    breakIt: () => withSubscription({ state: "disabled" }),
    check: "subscription",
    message: /disabled/,
    advice: /AUTOHEAL/,
  },
  {
    what: "a clock that is wrong",
    breakIt: () => {
      simulator.setFaults({ apiClockSkewMs: 120_000 });
      undo.push(() => simulator.setFaults({ apiClockSkewMs: 0 }));
      return {};
    },
    check: "calendly's clock",
    message: /differ by 1\d\d s/,
    advice: /NTP/,
  },
];

test.each(BROKEN)("$what is named, with the way out", async ({ breakIt, check, message, advice }) => {
  const { status, faults } = await examine(await breakIt());
  expect(status).toBe(1);
  expect(faults).toContainEqual({
    check,
    status: "fault",
    message: expect.stringMatching(message),
    advice: expect.stringMatching(advice),
  });
});

test("what waits in a paused queue is not said to be stuck", async () => {
  const { variables, redis } = await onForsakenRedis();
  await redis.hset("{calendly:0}:deliveries:meta", "paused", "1");
  const { findings } = await examine(variables);
  expect(findings.filter(({ check }) => check === "queues")).toEqual([
    expect.objectContaining({ status: "fault", message: "Paused: deliveries." }),
  ]);
});

test("destinations that are paused, or would not take something, are warnings", async () => {
  const { variables, redis } = await onForsakenRedis();
  const ofDestinations = async () =>
    (await examine(variables)).findings.filter(({ check }) => check === "destinations");
  expect(await ofDestinations()).toEqual([]);
  const store = createDestinationStore(redis, Date.now);
  const wanted = { url: "https://crm.example/", types: null, eventTypes: null, hosts: null, secrets: [] };
  const { id } = await store.add({ ...wanted, ordered: false, concurrency: 1 });
  expect(await ofDestinations()).toEqual([expect.objectContaining({ status: "ok" })]);
  await store.setPaused(id, "failing");
  await redis.zadd(`{calendly:0}:push-${id}:failed`, 1, "1", 2, "2");
  expect(await ofDestinations()).toEqual([
    {
      check: "destinations",
      status: "warning",
      message: `Paused: ${id} (failing).`,
      advice: expect.stringContaining("destinations resume"),
    },
    {
      check: "destinations",
      status: "warning",
      message: `Outcomes were not taken: ${id} (2).`,
      advice: expect.stringContaining("destinations dead-letters"),
    },
  ]);
});

test("requests that are used up are told of, for which /ops sends people here", async () => {
  const remedies = readFileSync(new URL("../../apps/worker/src/ops/remedies.ts", import.meta.url), "utf8");
  expect(remedies).toMatch(/api_budget_used_up: \{[^}]*"pnpm calendly doctor"/);
  const soon = String(Date.now() + 60_000);
  await inRedis(["HSET", apiBudgetKey, "blocked_until", soon], ["HDEL", apiBudgetKey, "blocked_until"]);
  const { findings } = await examine();
  expect(findings).toContainEqual({
    check: "rate limit",
    status: "warning",
    message: expect.stringContaining("used up"),
    advice: expect.stringContaining("Wait a minute"),
  });
});

test("what the token may not look at is not said to be well", async () => {
  simulator.setToken("blind", { scopes: ["users:read", "webhooks:read", "scheduled_events:read"] });
  const { uri } = simulator.account.updateEventType("panel", {});
  const { findings } = await examine({ CALENDLY_API_TOKEN: "blind", CALENDLY_EVENT_TYPES: uri });
  expect(findings.filter(({ check }) => check === "event types")).toEqual([
    {
      check: "event types",
      status: "warning",
      message: expect.stringMatching(/could not be looked at: .*lacks event_types:read/),
      advice: expect.stringContaining("event_types:read"),
    },
  ]);
});

test.each(["METRICS_TOKEN", "OPS_API_TOKEN"])("%s that is not set is a warning", async (name) => {
  const { status, findings } = await examine({ [name]: "" });
  expect(status).toBe(0);
  expect(findings.filter(({ check }) => check === "access")).toEqual([
    {
      check: "access",
      status: "warning",
      message: expect.stringContaining(`${name} is not set`),
      advice: expect.stringContaining("openssl rand"),
    },
  ]);
});

test("what is no fault yet is a warning", async () => {
  withSubscription({ retryStartedAt: "2026-11-23T10:00:00.000000Z" });
  const { status, findings } = await examine();
  expect(status).toBe(0);
  expect(findings).toContainEqual(expect.objectContaining({ check: "subscription", status: "warning" }));
});
