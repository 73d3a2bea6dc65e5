import { setTimeout as pause } from "node:timers/promises";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { createVerifier, type SigningKey } from "@calendly-worker/core/calendly/signature";
import { scopeOf } from "@calendly-worker/core/config/scope";
import { listen } from "@calendly-worker/core/lifecycle/http-server";
import { runApp } from "@calendly-worker/core/lifecycle/run-app";
import { connectProducer, disconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import { createFitness } from "@calendly-worker/core/redis/fitness";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createReplication, REPLICAS_TIMEOUT_MS } from "@calendly-worker/core/redis/replication";
import { createCredentials } from "@calendly-worker/core/store/credentials";
import { createFingerprints } from "@calendly-worker/core/store/fingerprints";
import { createFlow } from "@calendly-worker/core/store/flow";
import { ANNOUNCE_EVERY_MS, announce, leave, newInstance } from "@calendly-worker/core/store/instances";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { createMeter } from "@calendly-worker/core/telemetry/meter";
import { openTraceOfJob } from "@calendly-worker/core/telemetry/trace";
import { createApp } from "./app.ts";
import { createIntake } from "./intake.ts";
import { createKeyCoverage } from "./key-coverage.ts";
import { createKeyUsage, type KeyUsage } from "./key-usage.ts";
import { createMetricsApp } from "./metrics-app.ts";

/** Leaves room within the two seconds after which a delivery must have been answered. */
const REDIS_DEADLINE_MS = 1_500;

await runApp(process, "ingest", async ({ config, lifecycle, log }) => {
  const keys: SigningKey[] = [{ name: "primary", key: config.CALENDLY_WEBHOOK_SIGNING_KEY }];
  const secondary = config.CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY;
  if (secondary !== undefined) keys.push({ name: "secondary", key: secondary });
  let keyUsage: KeyUsage | undefined;
  const verify = createVerifier({
    keys,
    windowSeconds: config.CALENDLY_WEBHOOK_REPLAY_PROTECTION_WINDOW,
    now: Date.now,
  });

  const meter = createMeter("ingest");
  const shards = createShards(config.CALENDLY_SHARDS);
  const redis = lifecycle.own("redis", connectProducer(config.REDIS_URL, log), disconnect);
  const fitness = createFitness({ redis, shards, allowed: config.REDIS_ALLOW_UNSAFE ?? [], log, onEmptied: tellKeys });
  const replicas = config.REDIS_WAIT_REPLICAS;
  const replicated = createReplication({ redis, replicas, timeoutMs: REPLICAS_TIMEOUT_MS });
  const credentials = createCredentials(redis, Date.now);
  const flow = createFlow(redis, Date.now);
  const keyCoverage = createKeyCoverage({ subscriptions: createSubscriptionStore(redis), credentials, log });
  const fingerprints = createFingerprints(redis);
  const slots = () => keys.map(({ name, key }) => ({ slot: name, fingerprint: fingerprints.of(key) }));
  const instance = newInstance("ingest");
  const accepted = () => slots().map(({ fingerprint }) => fingerprint);
  const announceThis = () => announce(redis, { ...instance, signingKeys: accepted() });

  /** Says which keys are accepted, under the names that all processes give them: at the start, and after Redis was emptied. */
  async function tellKeys(): Promise<void> {
    await fingerprints.agree();
    await credentials.announceSigningKeys(slots());
    await announceThis();
    await keyCoverage.accept(accepted());
  }

  const intake = createIntake({
    redis,
    shards,
    replicated,
    deduplicationMs: config.CALENDLY_DEDUPLICATION_TTL * 1_000,
    deadlineMs: REDIS_DEADLINE_MS,
    retentionDays: config.CALENDLY_BOOKING_RETENTION_DAYS,
    now: () => new Date(),
    traceOfJob: await openTraceOfJob({ isEnabled: config.DD_TRACE_ENABLED }),
  });

  const soon = (answer: Promise<boolean>) => withinDeadline(REDIS_DEADLINE_MS, answer).catch(() => false);
  // Listening before Redis is there: a delivery that comes early is told 503, and a probe can see why.
  const app = createApp({
    verify,
    read: readDelivery,
    onDelivered: (key) => keyUsage?.count(key),
    onOutcome: (result) => {
      if (result === "accepted" || result === "refused") flow.count(result);
    },
    onLate: (result) => meter.count("lateDeliveries", { result }),
    meter,
    enqueue: intake.enqueue,
    quarantine: intake.quarantine,
    hint: intake.hint,
    scope: scopeOf(config),
    lateDeliveries: config.CALENDLY_WEBHOOK_LATE_DELIVERIES,
    webhookPath: config.CALENDLY_WEBHOOK_ENDPOINT_PREFIX,
    isAdvised: () =>
      withinDeadline(REDIS_DEADLINE_MS, credentials.report()).then(
        (report) => report?.advice.some(({ code }) => code === "token_dead" || code === "token_lacks_scope") ?? false,
        () => false,
      ),
    isReady: async () =>
      !lifecycle.signal.aborted &&
      intake.isOpen() &&
      (await fitness.isFit(REDIS_DEADLINE_MS)) &&
      (await soon(replicated(shards.first, async () => true))) &&
      (await soon(keyCoverage.isComplete())),
    log,
  });
  const server = await listen(app, { host: config.INGEST_HOST, port: config.INGEST_PORT });
  lifecycle.own("http server", server, () => server.close(config.SHUTDOWN_DEADLINE * 1_000));
  log.info({ url: server.url, webhookPath: config.CALENDLY_WEBHOOK_ENDPOINT_PREFIX }, "listening");

  meter.read(async (tell) => tell("redisFit", {}, (await fitness.isFit(REDIS_DEADLINE_MS)) ? 1 : 0));
  const metricsApp = createMetricsApp({ meter, token: config.METRICS_TOKEN, log });
  const metricsFace = { host: config.INGEST_METRICS_HOST, port: config.INGEST_METRICS_PORT };
  const metricsServer = await listen(metricsApp, metricsFace);
  lifecycle.own("metrics server", metricsServer, () => metricsServer.close(0));
  log.info({ url: metricsServer.url }, "telling metrics");

  await untilReady(redis, lifecycle.signal);
  await fitness.untilFit(lifecycle.signal);
  await tellKeys();
  keyUsage = createKeyUsage(credentials, slots, Date.now);
  const telling = setInterval(() => {
    void keyUsage?.flush();
    void flow.flush();
    announceThis().catch((err: unknown) => log.debug({ err }, "could not say that this process lives"));
  }, ANNOUNCE_EVERY_MS);
  lifecycle.own("key usage", telling, async (timer) => {
    clearInterval(timer);
    const goodbye = Promise.all([keyUsage?.flush(), flow.flush(), leave(redis, instance)]);
    await withinDeadline(REDIS_DEADLINE_MS, goodbye).catch(() => {});
  });
  intake.open();
  // The newest, so that all else is still open: a proxy that goes by the health check sends nothing any more when it is over.
  const delayMs = config.SHUTDOWN_DELAY * 1_000;
  if (delayMs > 0) lifecycle.own("delay", delayMs, (ms) => pause(ms));
  log.info({ signingKeys: keys.map(({ name }) => name) }, "ready for deliveries");
});
