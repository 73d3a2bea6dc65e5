import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createCredentials } from "@calendly-worker/core/store/credentials";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { METRICS_TOKEN, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const OPS_TOKEN = "test-ops-token-not-a-secret";

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
const running: AppProcess[] = [];

beforeEach(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  simulator = await startSimulator({ seed: 88, rateLimit: 100_000 });
  simulator.setToken("first-token");
  simulator.setToken("second-token");
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.end("SIGKILL")));
  disconnect(redis);
  await simulator.close();
  await server.stop();
});

async function startOne(variables: Variables = {}): Promise<AppProcess & { readonly healthUrl: string }> {
  const worker = startWorker(server.url, {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: "first-token",
    CALENDLY_API_TOKEN_SECONDARY: "second-token",
    CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "1000",
    OPS_API_TOKEN: OPS_TOKEN,
    ...variables,
  });
  running.push(worker);
  const { url } = await worker.untilLogged("listening");
  await worker.untilLogged("taking jobs");
  return { ...worker, healthUrl: `${String(url)}/api/health/calendly` };
}

const report = () => createCredentials(redis, Date.now).report();
const noticeTypes = async () => (await redis.xrange("{calendly:0}:notices", "-", "+")).map(([, fields]) => fields[1]);

async function health(url: string, token?: string) {
  const response = await fetch(url, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

describe("the monitor", () => {
  test("tries each token with every read scope, and finds nothing to say of sound ones", async () => {
    await startOne();
    const { tokens, advice } = await until("there is a report", report);
    expect(advice).toEqual([]);
    const worked = expect.any(Number);
    const provenScopes = {
      "users:read": worked,
      "scheduled_events:read": worked,
      "event_types:read": worked,
      "availability:read": worked,
    };
    expect(tokens).toMatchObject([
      { slot: "primary", seen: "active", provenScopes },
      { slot: "secondary", seen: "active", provenScopes },
    ]);
  });

  test("says once what is wrong with a second token that could not replace the first", async () => {
    const [host] = simulator.account.catalog.hosts;
    simulator.setToken("second-token", { scopes: ["users:read", "scheduled_events:read"], user: host?.slug ?? "" });
    const worker = await startOne();
    const { advice } = await until("there is a report", report);
    expect(advice).toMatchObject([
      { code: "token_of_another_user", slot: "secondary" },
      { code: "token_lacks_scope", message: "The secondary token lacks event_types:read, availability:read." },
    ]);
    const checks = () => worker.logs.filter((line) => line.msg === "job ended" && line["job"] === "check-credentials");
    await until("it has checked again", () => checks().length >= 2);
    expect(worker.logs.filter((line) => line["advice"] === "token_lacks_scope")).toHaveLength(1);
  });

  test("recommends the rotation of a token that was used much, and follows it from slot to slot", async () => {
    const worker = await startOne({ CALENDLY_MAX_USAGE_PER_KEY: "4" });
    await until("it is recommended", async () =>
      (await report())?.advice.some(({ code }) => code === "token_rotation_recommended"),
    );
    expect(await noticeTypes()).toContain("credentials.rotation_recommended");
    expect((await health(worker.healthUrl, OPS_TOKEN)).body).toMatchObject({
      status: "degraded",
      reasons: ["token_approaching_limit"],
    });
    await worker.end();
    const before = (await report())?.tokens.find(({ slot }) => slot === "secondary");
    await startOne({ CALENDLY_API_TOKEN: "second-token", CALENDLY_API_TOKEN_SECONDARY: "" });
    const promoted = await until("it is seen in its new slot", async () => {
      const tokens = (await report())?.tokens ?? [];
      return tokens.length === 1 ? tokens[0] : undefined;
    });
    expect(promoted).toMatchObject({
      slot: "primary",
      fingerprint: before?.fingerprint,
      firstSeenAt: before?.firstSeenAt,
    });
    expect(promoted.used).toBeGreaterThanOrEqual(before?.used ?? Number.NaN);
  });

  test("finds out that a token died, and does not use it any more", async () => {
    const worker = await startOne();
    const ingest = await startIngest(server.url);
    running.push(ingest);
    await ingest.untilLogged("ready for deliveries");
    await until("there is a report", report);
    expect(await health(`${ingest.baseUrl}/api/health/calendly`)).toEqual({ status: 200, body: { status: "ok" } });
    simulator.setToken("first-token", { state: "revoked" });
    await until("health says so", async () => {
      const { body } = await health(worker.healthUrl, OPS_TOKEN);
      return (body["reasons"] as string[]).includes("token_failed_over");
    });
    const asked = simulator.requests().filter(({ token }) => token === "first-token").length;
    const checks = () =>
      worker.logs.filter((line) => line.msg === "job ended" && line["job"] === "check-credentials").length;
    const done = checks();
    await until("it has checked twice more", () => checks() >= done + 2);
    expect(simulator.requests().filter(({ token }) => token === "first-token")).toHaveLength(asked);
    expect((await noticeTypes()).filter((type) => type === "credentials.token_failed_over")).toHaveLength(1);
    expect(await health(`${ingest.baseUrl}/api/health/calendly`)).toEqual({
      status: 200,
      body: { status: "degraded" },
    });
  });

  test("advises on two signing keys by the deliveries that each has verified", async () => {
    const ingest = await startIngest(server.url, { CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "newer-key-not-a-secret" });
    running.push(ingest);
    await ingest.untilLogged("ready for deliveries");
    await redis.hset(
      "{calendly:0}:signing-keys",
      `${await redis.hget("{calendly:0}:signing-keys", "slot:primary")}:first_seen`,
      "1",
    );
    await startOne();
    const codes = async () => (await report())?.advice.map(({ code }) => code) ?? [];
    await until("the new one has not been seen", async () => (await codes()).includes("new_signing_key_not_seen"));
    const send = async () => {
      const body = createdBody(newInvitee());
      const signature = signatureHeader(body, "newer-key-not-a-secret");
      expect((await deliver(ingest.webhookUrl, body, { signature })).status).toBe(200);
    };
    await until("the old one may go", async () => {
      await send();
      return (await codes()).includes("old_signing_key_may_go");
    });
    expect(await noticeTypes()).toContain("credentials.signing_key_unused");
    expect(ingest.output()).not.toContain(SIGNING_KEY);
  });
});

describe("the schedules", () => {
  const schedulers = () => redis.zcard("{calendly:0}:maintenance:repeat");
  const every = async () => Number(await redis.hget("{calendly:0}:maintenance:repeat:check-credentials", "every"));

  test("are there once, however many workers start, also with another interval, and go when they are switched off", async () => {
    await Promise.all(Array.from({ length: 6 }, () => startOne({ CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "3600000" })));
    expect(await schedulers()).toBe(4);
    expect(await every()).toBe(3_600_000);
    await Promise.all(Array.from({ length: 2 }, () => startOne({ CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "1800000" })));
    expect(await schedulers()).toBe(4);
    expect(await every()).toBe(1_800_000);
    const toCome = () => redis.zcard("{calendly:0}:maintenance:delayed");
    await until("each has one run to come", async () => (await toCome()) === 4);
    await startOne({ CALENDLY_KEY_ROTATION_MONITORING: "false" });
    expect(await schedulers()).toBe(3);
  });

  test("that came due while all workers were down run once on return", async () => {
    const first = await startOne({ CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "2000" });
    const checkedAt = (await until("it has checked", report)).checkedAt;
    await first.end();
    // Several times it would have come due.
    await until("a while has passed", () => Date.now() > Date.parse(checkedAt) + 7_000, { deadlineMs: 20_000 });
    const toCome = await redis.zrange("{calendly:0}:maintenance:delayed", "0", "-1");
    expect(toCome.filter((id) => id.startsWith("repeat:check-credentials:"))).toHaveLength(1);
    const returnedAt = Date.now();
    const back = await startOne({ CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "2000" });
    await until("it has checked again", async () => (await report())?.checkedAt !== checkedAt);
    // Others may have come due since; a job's id ends with the time for which it was meant.
    const dueAt = (id: unknown) => Number(/^repeat:check-credentials:(\d+)$/.exec(String(id))?.[1]);
    const ended = () =>
      back.logs.filter(({ msg, jobId }) => msg === "job ended" && dueAt(jobId) < returnedAt).map(({ jobId }) => jobId);
    // The report is kept before the end is logged.
    await until("its end is logged", () => ended().length > 0);
    expect(ended()).toHaveLength(1);
  });
});

describe("the health of the integration", () => {
  test("tells whoever has a token how it is, and those who may look why", async () => {
    const worker = await startOne();
    await until("there is a report", report);
    expect((await health(worker.healthUrl)).status).toBe(401);
    expect((await health(worker.healthUrl, "something-else")).status).toBe(401);
    expect(await health(worker.healthUrl, METRICS_TOKEN)).toEqual({ status: 200, body: { status: "ok" } });
    const { body } = await health(worker.healthUrl, OPS_TOKEN);
    expect(body).toMatchObject({
      status: "ok",
      reasons: [],
      details: {
        tokens: [
          { slot: "primary", state: "active" },
          { slot: "secondary", state: "active" },
        ],
        budget: { limit: 100_000, isUsedUp: false },
        cache: { hits: 0, misses: 0, stale: 0, hitRatio: null },
        deliveries: { waiting: 0, failed: 0 },
      },
    });
    expect(JSON.stringify(body)).not.toMatch(/first-token|second-token/);

    await server.freeze();
    expect(await health(worker.healthUrl, OPS_TOKEN)).toMatchObject({
      status: 503,
      body: { status: "down", reasons: ["redis_not_writable"] },
    });
  });
});
