import { defineQueue } from "@calendly-worker/core/queues/contract";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createJobSearch } from "@calendly-worker/core/queues/job-search";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { bookingKey, createShards } from "@calendly-worker/core/redis/keys";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterAll, beforeAll, expect } from "@jest/globals";
import { z } from "zod";
import { renderRules } from "../../ops/prometheus/render.ts";
import { type Simulator, startSimulator } from "../simulator/simulator.ts";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { testWhere } from "../support/limits.ts";
import { type Prometheus, startPrometheus } from "../support/prometheus.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, METRICS_TOKEN, SHORT_LOCKS, startIngest, startWorker, WEBHOOK_PATH } from "../support/stack.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { describeWith } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { callEach, fillTo } from "../support/whole-redis.ts";

/** A day passes in minutes: the longest window of the rules is two hours, and here two minutes. */
const FACTOR = 60;
const OPS = "ops-token-of-the-tests";
const shards = createShards(1);

describeWith("prometheus", "with a real Prometheus", () => {
  let server: RedisServer;
  let proxy: TcpProxy;
  /** Where the worker is, whichever it is. */
  let front: TcpProxy;
  let redis: Redis;
  let simulator: Simulator;
  let ingest: AppProcess;
  let worker: AppProcess;
  let prometheus: Prometheus;
  let ports: { ingest: number; metrics: number };
  let tokens = { primary: "first-token", secondary: "second-token" };
  let flowing: NodeJS.Timeout;

  const webhookUrl = () => `http://127.0.0.1:${ports.ingest}${WEBHOOK_PATH}`;
  const api = () => createApiClient(`http://127.0.0.1:${front.port}`, OPS);
  const atNoon = (inDays: number) => new Date(Date.UTC(2031, 0, 1 + inDays, 12)).toISOString();

  const startTheIngest = () =>
    startIngest(server.url, { INGEST_PORT: String(ports.ingest), INGEST_METRICS_PORT: String(ports.metrics) });

  /** Starts a worker and waits until it works: only then it stands in the place of the one before. */
  async function startTheWorker(): Promise<AppProcess> {
    const port = await freePort();
    const started = startWorker(`redis://127.0.0.1:${proxy.port}`, {
      ...SHORT_LOCKS,
      WORKER_PORT: String(port),
      WORKER_HEARTBEAT_INTERVAL: "200",
      WORKER_DEAF_AFTER: "1000",
      SHUTDOWN_DEADLINE: "1",
      LOG_LEVEL: "info",
      OPS_API_TOKEN: OPS,
      OPS_DASHBOARD_WRITABLE: "true",
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: tokens.primary,
      CALENDLY_API_TOKEN_SECONDARY: tokens.secondary,
      CALENDLY_MAX_USAGE_PER_KEY: "1000000",
      CALENDLY_KEY_ROTATION_CHECK_INTERVAL: "1000",
      CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "1",
      CALENDLY_WEBHOOK_BASE_URL: `http://127.0.0.1:${ports.ingest}`,
      CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8",
    });
    await started.untilLogged("taking jobs");
    front.leadTo(port);
    return started;
  }

  beforeAll(async () => {
    server = await startRedis({ appendfsync: "everysec" });
    proxy = await startTcpProxy(server.port);
    redis = await connectRedis(server.url);
    front = await startTcpProxy(await freePort());
    ports = { ingest: await freePort(), metrics: await freePort() };
    // What happens at Calendly is delivered by hand, so that what is left of one fault is not there at the next.
    simulator = await startSimulator({ seed: 9, rateLimit: 1_000_000, faults: { drop: 1 } });
    for (const token of [tokens.primary, tokens.secondary, "third-token"]) simulator.setToken(token);
    simulator.subscribe(webhookUrl(), SIGNING_KEY);
    ingest = await startTheIngest();
    worker = await startTheWorker();
    await ingest.untilLogged("ready for deliveries");
    prometheus = await startPrometheus({
      rules: renderRules(FACTOR),
      token: METRICS_TOKEN,
      targets: { "calendly-ingest": `127.0.0.1:${ports.metrics}`, "calendly-worker": `127.0.0.1:${front.port}` },
    });
    let day = 0;
    flowing = setInterval(() => void book(100 + day++).catch(() => {}), 1_000);
  }, 270_000);

  afterAll(async () => {
    clearInterval(flowing);
    await prometheus?.stop();
    await Promise.all([ingest, worker].map((app) => app?.end()));
    await simulator?.close();
    disconnect(redis);
    await Promise.all([proxy?.close(), front?.close()]);
    await server?.stop();
  });

  /** Somebody books, and Calendly delivers it. */
  async function book(inDays: number) {
    const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
    const invitee = simulator.account.book({ eventType: "intro", start: atNoon(inDays), ...person });
    await tell(invitee.uri);
    return invitee;
  }

  async function tell(uri: string, event = "invitee.created"): Promise<void> {
    const happening = simulator.account.history().find((one) => one.payload["uri"] === uri && one.event === event);
    if (happening === undefined) throw new Error("it has not happened");
    await deliver(webhookUrl(), bodyOf(happening));
  }

  interface Fault {
    readonly begin?: () => Promise<unknown>;
    /** Done again and again until it is over. */
    readonly keepUp?: () => Promise<unknown>;
    readonly end?: () => Promise<unknown>;
    readonly alerts: readonly string[];
    /** Those that fire too where the machine is slow to bring it about; they end with it. */
    readonly possible?: readonly string[];
  }

  /** Ends only after the longest window, and so lasts through what follows. */
  const LASTING = ["CalendlyCompletionLow"];

  /** Lets faults happen at once, and waits until exactly their alerts have fired, and have ended again. */
  async function suffer(faults: Readonly<Record<string, Fault>>, lasting: readonly string[] = []): Promise<void> {
    const expected = [...new Set(Object.values(faults).flatMap(({ alerts }) => alerts))].toSorted();
    const possible = Object.values(faults).flatMap((fault) => fault.possible ?? []);
    const allowed = [...expected, ...possible, ...lasting];
    const fired = new Set<string>();
    async function look() {
      const firing = await prometheus.firing();
      for (const name of firing) fired.add(name);
      // Whatever fires that should not is found at once.
      expect({ firing: firing.filter((name) => !allowed.includes(name)) }).toEqual({ firing: [] });
      return firing;
    }
    for (const { begin } of Object.values(faults)) await begin?.();
    const allFired = async () => {
      await Promise.all(Object.values(faults).map(({ keepUp }) => keepUp?.()));
      await look();
      return expected.every((name) => fired.has(name));
    };
    await until("all alerts have fired", allFired, { deadlineMs: 60_000, everyMs: 500 }).catch((error) => {
      const missing = expected.filter((name) => !fired.has(name));
      throw new Error(missing.length === 0 ? String(error) : `never fired: ${missing.join(", ")}`, { cause: error });
    });
    for (const { end } of Object.values(faults)) await end?.();
    const isOver = async () => (await look()).every((name) => lasting.includes(name));
    await until("the alerts have ended", isOver, { deadlineMs: 60_000, everyMs: 500 }).catch(async (error) => {
      throw new Error(`${error.message}; ${(await prometheus.firing()).join(", ")} fire`, { cause: error });
    });
  }

  const anything = defineQueue({
    ...deliveries,
    data: z.object({ nonsense: z.boolean() }),
    identity: () => "nonsense",
  });

  testWhere(
    "a proxy",
    "in a day with many faults exactly the right alerts fire, and end",
    async () => {
      await until(
        "all is scraped",
        async () => (await prometheus.unhealthy()).length === 0 && (await prometheus.value("sum(up)")) === 2,
      );
      await until("rates are known", async () => (await prometheus.value("calendly:outcomes:late_ratio5m")) === 0, {
        deadlineMs: 20_000,
      });
      expect(await prometheus.firing()).toEqual([]);

      const forged = createdBody(newInvitee());
      const stuck = newInvitee();
      const stuckKey = bookingKey(shards.first, stuck.id);
      const quarantine = createQuarantine({ redis, shards, retentionDays: 90 });
      const search = createJobSearch({ redis, shards, contract: anything });
      const producer = createProducer({
        redis,
        contract: anything,
        deduplicationMs: 1,
        deadlineMs: 2_000,
      });
      let conflicting: { id: string; uri: string };
      let destination = "";
      const reference = (index: number) => `never-booked-${index}`;

      await suffer(
        {
          "the key is wrong": {
            keepUp: () => deliver(webhookUrl(), forged, { signature: signatureHeader(forged, "a-wrong-key") }),
            alerts: ["CalendlySignatureFailures"],
          },
          "a clock is wrong": {
            keepUp: () =>
              deliver(webhookUrl(), forged, {
                signature: signatureHeader(forged, SIGNING_KEY, Math.floor(Date.now() / 1_000) - 3_600),
              }),
            alerts: ["CalendlyDeliveriesLate"],
          },
          "two are booked for one time": {
            async begin() {
              await book(1);
              conflicting = await book(1);
            },
            async end() {
              simulator.account.cancel(conflicting.id);
              await tell(conflicting.uri, "invitee.canceled");
            },
            alerts: ["CalendlyConflictsOpen"],
          },
          "Calendly changes a payload": {
            begin: () =>
              deliver(
                webhookUrl(),
                JSON.stringify({ event: "invitee.created", created_at: "2026-11-24T09:30:00Z", payload: { uri: 5 } }),
              ),
            async end() {
              for (const { id } of await quarantine.list(10)) await quarantine.drop(id);
            },
            alerts: ["CalendlyQuarantined"],
          },
          "a token is revoked": {
            begin: async () => simulator.setToken(tokens.primary, { state: "revoked" }),
            async end() {
              // As an engineer would: a new token in its place, and a worker with it before the old one goes.
              tokens = { ...tokens, primary: "third-token" };
              const before = worker;
              worker = await startTheWorker();
              await before.end();
            },
            alerts: ["CalendlyAuthenticationFailed", "CalendlyTokenFailedOver"],
          },
          "the other token is much used": {
            async begin() {
              const { stdout } = await runCommand(["tokens", "status", "--json"], variables());
              const { fingerprint } = JSON.parse(stdout).tokens[1];
              await redis.hincrby("{calendly:0}:api:tokens", `${fingerprint}:used`, 900_000);
            },
            async end() {
              const { status, stdout } = await runCommand(
                ["tokens", "snooze", "--slot", "secondary", "--days", "3"],
                variables(),
              );
              expect([status, stdout]).toEqual([0, expect.stringContaining("is snoozed until")]);
              expect((await api()("GET", "/ops")).body).toContain("tokens.snooze");
            },
            alerts: ["CalendlyTokenNearLimit"],
          },
          "a job is given up": {
            begin: () => producer.enqueue(shards.first, "invitee.created", { nonsense: true }),
            end: () => search.remove(() => true),
            alerts: ["CalendlyDeadLetters"],
          },
          "a delivery is stuck": {
            async begin() {
              await redis.set(stuckKey, "not a booking");
              await deliver(webhookUrl(), createdBody(stuck));
            },
            async end() {
              await redis.del(stuckKey);
              const promoted = await api()("PUT", "/ops/queues/api/queues/deliveries/promote");
              expect(promoted.status).toBe(200);
            },
            alerts: ["CalendlyDeliveryStuck"],
          },
          "a destination is dead": {
            async begin() {
              const added = await api()("POST", "/api/destinations", { url: "http://127.0.0.1:9/outcomes" });
              destination = added.body.destination?.id ?? added.body.id;
            },
            end: () => api()("DELETE", `/api/destinations/${destination}`),
            alerts: ["CalendlyDestinationFailing"],
          },
          "somebody guesses tokens": {
            async begin() {
              const guess = createApiClient(`http://127.0.0.1:${front.port}`, "a-guessed-token");
              for (let guesses = 0; guesses < 14; guesses++) await guess("GET", "/ops");
            },
            alerts: ["CalendlyAccessRefused"],
          },
          "what was announced does not come": {
            async begin() {
              const until = new Date(Date.now() - 1_000).toISOString();
              for (let index = 0; index < 5; index++)
                await api()("POST", "/api/expectations", { reference: reference(index), until });
            },
            alerts: ["CalendlyCompletionLow"],
          },
        },
        LASTING,
      );
      await search.close();

      await suffer(
        {
          "Calendly disables the subscription": {
            begin: async () => setSubscription("disabled"),
            end: async () => setSubscription("active"),
            alerts: ["CalendlySubscriptionDown"],
          },
          "Redis is nearly full": {
            async begin() {
              for (let index = 0; index < 60; index++) await redis.set(`junk:${index}`, "x".repeat(1_000_000));
              await fillTo(redis, 0.982);
            },
            end: () => callEach(redis, "CONFIG", "SET", "maxmemory", "0"),
            alerts: ["CalendlyRedisUnsafe", "CalendlyRedisFilling"],
          },
        },
        LASTING,
      );

      await suffer(
        {
          "the worker is deaf": {
            async begin() {
              proxy.swallow("bzpopmin");
              expect(await worker.exited).toMatchObject({ code: 1 });
              worker = await startTheWorker();
            },
            alerts: ["CalendlyWorkerDeaf"],
            // Five minutes without a worker are five seconds here, and one must find out, end and begin again in them.
            possible: ["CalendlyWorkerAbsent", "CalendlyQueueUnworked"],
          },
        },
        LASTING,
      );

      await suffer(
        {
          "Calendly's API is down": {
            begin: async () => simulator.setFaults({ api: "down" }),
            end: async () => simulator.setFaults({ api: "well" }),
            alerts: ["CalendlyApiFailing"],
          },
          "the ingest is gone": {
            begin: () => ingest.end(),
            async end() {
              ingest = await startTheIngest();
            },
            alerts: ["CalendlyWorkerAbsent"],
          },
        },
        LASTING,
      );
      await until("the last one has ended", async () => (await prometheus.firing()).length === 0, {
        deadlineMs: 150_000,
        everyMs: 500,
      });
    },
    480_000,
  );

  const variables = () => ({
    REDIS_URL: server.url,
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: tokens.primary,
    CALENDLY_API_TOKEN_SECONDARY: tokens.secondary,
    CALENDLY_MAX_USAGE_PER_KEY: "1000000",
  });

  function setSubscription(state: "active" | "disabled"): void {
    for (const subscription of simulator.subscriptions.values()) subscription.state = state;
  }
});
