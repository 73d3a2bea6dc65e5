import { createCache } from "@calendly-worker/core/calendly/cache";
import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import { createEnrichment } from "@calendly-worker/core/calendly/enrichment";
import type { CallOptions } from "@calendly-worker/core/calendly/requester";
import { eventsToSubscribe, findOwner, type SubscriptionOwner } from "@calendly-worker/core/calendly/subscriptions";
import { scopeOf } from "@calendly-worker/core/config/scope";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { listen } from "@calendly-worker/core/lifecycle/http-server";
import { runApp } from "@calendly-worker/core/lifecycle/run-app";
import { type Consumer, createConsumer } from "@calendly-worker/core/queues/consumer";
import {
  BANDS,
  type Band,
  conferenceLinks,
  deliveries,
  KEPT_AFTER_DARK,
  lateDeliveries,
  maintenance,
  missingHalves,
  sweeps,
} from "@calendly-worker/core/queues/contracts";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { createPushQueues } from "@calendly-worker/core/queues/push-queues";
import { doNow, keepOneAtATime, keepSchedules } from "@calendly-worker/core/queues/schedules";
import { connectProducer, connectWorker, disconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import { readBeganAt } from "@calendly-worker/core/redis/deployment";
import { createFitness } from "@calendly-worker/core/redis/fitness";
import { createShards, type Shard } from "@calendly-worker/core/redis/keys";
import { isCluster } from "@calendly-worker/core/redis/nodes";
import { createReplicationElsewhere, REPLICAS_TIMEOUT_MS } from "@calendly-worker/core/redis/replication";
import { readApiBudget } from "@calendly-worker/core/store/api-budget";
import { createApiGate } from "@calendly-worker/core/store/api-gate";
import { createBookingSearch } from "@calendly-worker/core/store/booking-search";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createCredentials } from "@calendly-worker/core/store/credentials";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { createEventTypes } from "@calendly-worker/core/store/event-types";
import { createExpectations } from "@calendly-worker/core/store/expectations";
import { createFingerprints } from "@calendly-worker/core/store/fingerprints";
import { createFlow } from "@calendly-worker/core/store/flow";
import { createHeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { createHostTimes } from "@calendly-worker/core/store/host-times";
import { ANNOUNCE_EVERY_MS, announce, leave, newInstance } from "@calendly-worker/core/store/instances";
import { createKnownEvents } from "@calendly-worker/core/store/known-events";
import { createLateMemory } from "@calendly-worker/core/store/late-deliveries";
import { createNotices } from "@calendly-worker/core/store/notices";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { readQueueLoad, sumOfLoads } from "@calendly-worker/core/store/queue-load";
import { openSharedTier } from "@calendly-worker/core/store/shared-tier";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { createSweepRuns } from "@calendly-worker/core/store/sweep-runs";
import { createTestDeliveries } from "@calendly-worker/core/store/test-deliveries";
import { tokenDied } from "@calendly-worker/core/store/token-died";
import { createOutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import { createMeter } from "@calendly-worker/core/telemetry/meter";
import { openTrace } from "@calendly-worker/core/telemetry/trace";
import { createAccess } from "./access.ts";
import { createAdmission } from "./admit.ts";
import { createApp } from "./app.ts";
import { createFold } from "./fold.ts";
import { guardedBy } from "./guarded.ts";
import { createHealth, type Health } from "./health.ts";
import { type InternalServices, serveInternalServices } from "./internal-services.ts";
import { askForConferenceLink } from "./jobs/ask-for-conference-link.ts";
import { askForLate } from "./jobs/ask-for-late.ts";
import { checkCredentials } from "./jobs/check-credentials.ts";
import { compareWithCalendly } from "./jobs/compare-with-calendly.ts";
import { dropEndedJobs } from "./jobs/drop-ended-jobs.ts";
import { findMissingHalf } from "./jobs/find-missing-half.ts";
import { foldDelivery } from "./jobs/fold-delivery.ts";
import { guardSubscription } from "./jobs/guard-subscription.ts";
import { lookAfterUnfinished } from "./jobs/look-after-unfinished.ts";
import { inTurn, maintain, type Task } from "./jobs/maintain.ts";
import { publishAllHistory } from "./jobs/publish-history.ts";
import { sweepJob } from "./jobs/sweep.ts";
import { trimOutcomes } from "./jobs/trim-outcomes.ts";
import { keepAlive } from "./liveness.ts";
import { measureApi, measureCache } from "./measure-api.ts";
import { createFoldMeasure } from "./measure-fold.ts";
import { schedulesOf, type TaskName } from "./schedules.ts";
import { createSweep } from "./sweep.ts";
import { sweepAfterDark } from "./sweep-after-dark.ts";
import { createUnfinished } from "./unfinished.ts";

/** For one request, and for a call with all its tries. */
const API_TIMEOUT_MS = 10_000;
const API_TOTAL_TIMEOUT_MS = 25_000;
/** Longer than what is cached may take to be asked for: then its asker is gone. */
const CACHE_LOAD_MS = 5_000;
/** The next days' comparison is not to wait for that of all later ones. */
const SWEEP_SLICE_MS = 30_000;
const PROBE_DEADLINE_MS = 1_000;

await runApp(process, "worker", async ({ config, lifecycle, log, fail }) => {
  const shards = createShards(config.CALENDLY_SHARDS);
  const redis = lifecycle.own("redis", connectWorker(config.REDIS_URL, log), disconnect);
  // A probe wants an answer now, also while Redis is away.
  const probe = lifecycle.own("redis probe", connectProducer(config.REDIS_URL, log), disconnect);
  const consumers: Consumer[] = [];
  const fingerprints = createFingerprints(redis);
  const schedules = schedulesOf(config);
  let beganAt = 0;
  async function begin(): Promise<void> {
    // Before there are schedules: what they have done writes fingerprints down.
    await fingerprints.agree();
    beganAt = await readBeganAt(redis);
    const first = { redis, shard: shards.first, log };
    await keepOneAtATime(first, sweeps);
    await keepSchedules(first, schedules);
  }
  const publishFrom = () => config.CALENDLY_PUBLISH_FROM ?? beganAt;
  const allowed = config.REDIS_ALLOW_UNSAFE ?? [];
  const fitness = createFitness({ redis: probe, shards, allowed, log, onEmptied: begin });

  async function isReady(): Promise<boolean> {
    if (lifecycle.signal.aborted || consumers.length === 0) return false;
    return consumers.every((consumer) => consumer.isRunning()) && (await fitness.isFit(PROBE_DEADLINE_MS));
  }

  const meter = createMeter("worker");
  const trace = await openTrace({ isEnabled: config.DD_TRACE_ENABLED });
  meter.read(async (tell) => tell("redisFit", {}, (await fitness.isFit(PROBE_DEADLINE_MS)) ? 1 : 0));
  let health: (() => Promise<Health>) | undefined;
  let services: InternalServices | undefined;
  const app = createApp({
    isReady,
    health: async () => await health?.(),
    access: createAccess({
      ops: config.OPS_API_TOKEN,
      metrics: config.METRICS_TOKEN,
      consumers: config.CALENDLY_CONSUMER_TOKENS ?? [],
      onRefused: (reason) => meter.count("accessRefusals", { reason }),
    }),
    meter,
    services: () => services?.routes,
    log,
  });
  const server = await listen(app, { host: config.WORKER_HOST, port: config.WORKER_PORT });
  lifecycle.own("http server", server, () => server.close(PROBE_DEADLINE_MS));
  log.info({ url: server.url }, "listening");

  await Promise.all([redis, probe].map((connection) => untilReady(connection, lifecycle.signal)));
  await fitness.untilFit(lifecycle.signal);
  await fingerprints.agree();

  const replicas = config.REDIS_WAIT_REPLICAS;
  const hasElsewhere = replicas > 0 && shards.all.length > 1 && isCluster(redis);
  const waiting = hasElsewhere
    ? lifecycle.own("redis replicas", connectProducer(config.REDIS_URL, log), disconnect)
    : redis;
  await untilReady(waiting, lifecycle.signal);
  const timeoutMs = REPLICAS_TIMEOUT_MS;
  const replicatedElsewhere = createReplicationElsewhere({ redis, waiting, shards, replicas, timeoutMs });

  const now = Date.now;
  const retentionDays = config.CALENDLY_BOOKING_RETENTION_DAYS;
  const referenceField = config.CALENDLY_REFERENCE_FIELD;
  const notices = createNotices(redis, now);
  const gate = createApiGate({
    redis,
    fingerprintOf: fingerprints.of,
    tokens: [config.CALENDLY_API_TOKEN, config.CALENDLY_API_TOKEN_SECONDARY].filter((token) => token !== undefined),
    requestTimeoutMs: API_TIMEOUT_MS,
    now,
    onTokenDead: tokenDied({ notices, log, hasOther: config.CALENDLY_API_TOKEN_SECONDARY !== undefined }),
  });
  const client = createCalendlyClient({
    gate,
    baseUrl: config.CALENDLY_API_BASE_URL.replace(/\/$/, ""),
    timeoutMs: API_TIMEOUT_MS,
    totalTimeoutMs: API_TOTAL_TIMEOUT_MS,
    signal: lifecycle.signal,
    ...measureApi(meter),
    trace,
  });
  const enrichment = createEnrichment({ client, secondary: gate.tokens[1], random: Math.random, now });
  const subscriber = lifecycle.own("redis subscriber", connectWorker(config.REDIS_URL, log), disconnect);
  const eventTypeCache = config.CALENDLY_ENABLE_CACHING
    ? createCache({
        tier: await openSharedTier(redis, subscriber),
        load: enrichment.eventType,
        maxEntries: config.CALENDLY_CACHE_MAX_ENTRIES,
        ttlMs: config.CALENDLY_CACHE_TTL * 1_000,
        graceMs: config.CALENDLY_CACHE_GRACE * 1_000,
        loadMs: CACHE_LOAD_MS,
        now,
      })
    : undefined;
  if (eventTypeCache !== undefined) measureCache(meter, eventTypeCache);
  const bookings = createBookingStore({ redis, shards, retentionDays, referenceField, now });
  const pendingJobs = { redis, shards, log };
  const halves = lifecycle.own(
    "missing halves",
    createPendingJobs({ ...pendingJobs, contract: missingHalves }),
    (jobs) => jobs.close(),
  );
  const links = lifecycle.own(
    "conference links",
    createPendingJobs({ ...pendingJobs, contract: conferenceLinks }),
    (jobs) => jobs.close(),
  );
  const unfinished = createUnfinished({
    shards,
    halves,
    links,
    missingHalfGraceMs: config.CALENDLY_MISSING_HALF_GRACE * 1_000,
    conferenceLinkIntervalMs: config.CALENDLY_CONFERENCE_LINK_INTERVAL * 1_000,
    now,
  });
  const admit = createAdmission({ bookings, scope: scopeOf(config), retentionDays, now });
  const events = createKnownEvents({ redis, shards, retentionDays, now });
  const eventTypes = createEventTypes({
    cache: eventTypeCache,
    ask: enrichment.eventType,
    onFailure: (err) => log.debug({ err }, "no event type from Calendly"),
  });
  const expectations = createExpectations({
    redis,
    shards,
    search: createBookingSearch({ redis, shards, bookings, referenceField }),
    retentionDays,
    now,
  });
  const flow = createFlow(redis, now);
  const quarantine = createQuarantine({ redis, shards, retentionDays, now });
  const fold = createFold({
    shards,
    replicatedElsewhere,
    bookings,
    hostTimes: createHostTimes({
      redis,
      shards,
      retentionDays,
      now,
      publishFrom,
      alternativesTo: (taken) =>
        enrichment.alternatives(taken).catch((err: unknown) => {
          log.debug({ err }, "no alternatives from Calendly");
          return null;
        }),
    }),
    eventTypes,
    quarantine,
    unfinished,
    events,
    expectations,
    admit,
    measure: createFoldMeasure(meter, flow, now),
    trace,
    referenceField,
    publishFrom,
  });
  const credentials = createCredentials(redis, now);
  const maxUsage = config.CALENDLY_MAX_USAGE_PER_KEY;
  const subscriptions = createSubscriptionStore(redis);
  const runs = createSweepRuns(redis);
  const sweepJobs = lifecycle.own("sweeps", createPendingJobs({ ...pendingJobs, contract: sweeps }), (jobs) =>
    jobs.close(),
  );
  const reconcileBand = (band: Band): Task => {
    return async () => {
      await sweepJobs.ensure(shards.first, { kind: "band", band }, 0);
      return "asked for";
    };
  };
  const subscribed = eventsToSubscribe(config.CALENDLY_WEBHOOK_EVENTS);
  let knownOwner: SubscriptionOwner | undefined;
  const owner = async (options: CallOptions) => {
    const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
    knownOwner ??= await findOwner(client, { organization, scope }, options);
    return knownOwner;
  };
  const compared = async () =>
    (await Promise.all(BANDS.map((band) => runs.report(band)))).filter((run) => run !== undefined);
  health = createHealth({
    isRedisFit: () => fitness.isFit(PROBE_DEADLINE_MS),
    gate,
    credentials,
    subscriptions,
    guarded: guardedBy(config),
    beganAt: () => beganAt,
    compared,
    budget: () => readApiBudget(redis, now()),
    deliveries: async () =>
      sumOfLoads(await Promise.all(shards.all.map((shard) => readQueueLoad(redis, shard, deliveries, { now: now() })))),
    cache: eventTypeCache,
    maxUsage,
    now,
  });
  const pushQueues = lifecycle.own(
    "push queues trimmed",
    createPushQueues({ redis, shard: shards.first, log }),
    (open) => open.close(),
  );
  const destinations = createDestinationStore(redis, now);
  const tasks: Record<TaskName, Task> = {
    "check-credentials": checkCredentials({
      client,
      gate,
      credentials,
      notices,
      maxUsage,
      now,
    }),
    "guard-subscription": guardSubscription({
      client,
      owner,
      subscriptions,
      credentials,
      runs,
      notices,
      webhookUrl: webhookUrlOf(config),
      events: subscribed,
      isHealing: config.CALENDLY_SUBSCRIPTION_AUTOHEAL,
      signingKeys: async () => {
        // This worker may be the last to notice that Redis was emptied.
        await fingerprints.agree();
        return [config.CALENDLY_WEBHOOK_SIGNING_KEY, config.CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY].flatMap((value) =>
          value === undefined ? [] : [{ value, fingerprint: fingerprints.of(value) }],
        );
      },
      silenceMs: config.CALENDLY_SILENCE_THRESHOLD * 1_000,
      beganAt: () => beganAt,
      reconcile: (darkSince) =>
        sweepJobs.ensure(shards.first, sweepAfterDark(config, darkSince, now()), 0, KEPT_AFTER_DARK),
      now,
    }),
    "reconcile-near": reconcileBand("near"),
    "reconcile-far": reconcileBand("far"),
    "reconcile-past": reconcileBand("past"),
    "look-after-unfinished": lookAfterUnfinished({ shards, bookings, unfinished }),
    "expire-expectations": async ({ signal }) => `expired ${await expectations.expire(signal)}`,
    "trim-outcomes": inTurn(
      trimOutcomes({
        shards,
        trimmer: createOutcomeTrimmer({ redis, retentionDays, maxAgeDays: config.CALENDLY_OUTCOMES_MAX_AGE, now }),
        destinations,
        queues: pushQueues,
        notices,
        maxAgeDays: config.CALENDLY_OUTCOMES_MAX_AGE,
      }),
      dropEndedJobs({ redis, shards, destinations, now }),
    ),
  };

  lifecycle.own("consumers", consumers, (open) =>
    Promise.all(open.map((consumer) => consumer.close(config.SHUTDOWN_DEADLINE * 1_000))),
  );
  const heartbeats = createHeartbeatStore(redis);
  const consuming = {
    redis,
    concurrency: config.WORKER_CONCURRENCY,
    lockMs: config.WORKER_JOB_LOCK_DURATION,
    stalledCheckMs: config.WORKER_STALLED_CHECK_INTERVAL,
    meter,
    onHeartbeat: (queue: string, shard: Shard) => heartbeats.note(queue, shard, now()),
    log,
  };
  const findHalf = findMissingHalf({ client, bookings, fold, now });
  const intervalMs = config.CALENDLY_CONFERENCE_LINK_INTERVAL * 1_000;
  const askForLink = askForConferenceLink({ client, bookings, fold, intervalMs, now });
  const tests = createTestDeliveries(redis);
  const foldAll = foldDelivery({ shards, replicatedElsewhere, fold, quarantine, tests, referenceField, now });
  const late = createLateMemory({ redis, shards, memoryMs: config.CALENDLY_DEDUPLICATION_TTL * 1_000, now });
  const askLate = askForLate({ client, late, bookings, fold, now });
  const perMinute = config.CALENDLY_LATE_FETCHES;
  await begin();
  // Other tokens than at the last check: whether Calendly takes them is not to be found out by the first who needs one,
  // least of all where an environment was put back to a token that is revoked.
  const checked = (await credentials.report())?.tokens.map(({ fingerprint }) => fingerprint).join();
  const isOther = checked !== undefined && checked !== gate.tokens.map(({ fingerprint }) => fingerprint).join();
  if (config.CALENDLY_KEY_ROTATION_MONITORING && isOther) {
    await doNow({ redis, shard: shards.first, log }, "check-credentials" satisfies TaskName);
  }
  for (const shard of shards.all) {
    consumers.push(
      createConsumer({ ...consuming, shard, contract: deliveries, handle: foldAll }),
      createConsumer({ ...consuming, shard, contract: missingHalves, handle: findHalf }),
      createConsumer({ ...consuming, shard, contract: conferenceLinks, handle: askForLink }),
      createConsumer({ ...consuming, shard, contract: lateDeliveries, handle: askLate, perMinute }),
    );
  }
  const alone = { ...consuming, shard: shards.first, concurrency: 1 };
  const compare = compareWithCalendly({
    client,
    owner,
    sweep: createSweep({ client, bookings, events, runs, fold, admit, subscribed, publishFrom, now }),
    runs,
    sliceMs: SWEEP_SLICE_MS,
    bands: {
      nearDays: config.CALENDLY_RECONCILE_NEAR_DAYS,
      pastDays: config.CALENDLY_RECONCILE_PAST_DAYS,
      graceMs: config.CALENDLY_RECONCILE_GRACE * 1_000,
    },
    now,
  });
  const publishHistory = publishAllHistory({
    shards,
    bookings,
    eventTypes,
    referenceField,
    onProgress: () => heartbeats.note(sweeps.name, shards.first, now()),
    now,
  });
  consumers.push(
    createConsumer({ ...alone, contract: maintenance, handle: maintain(tasks) }),
    createConsumer({ ...alone, contract: sweeps, handle: sweepJob({ compare, publishHistory }) }),
  );
  const instance = newInstance("worker");
  const watch = lifecycle.own("redis watch", connectProducer(config.REDIS_URL, log), disconnect);
  await untilReady(watch, lifecycle.signal);
  keepAlive({
    lifecycle,
    watch,
    shards,
    consumers: () => [...consumers, ...(services?.pushConsumers() ?? [])],
    heartbeats: createHeartbeatStore(watch),
    heartbeatMs: config.WORKER_HEARTBEAT_INTERVAL,
    deafAfterMs: config.WORKER_DEAF_AFTER,
    fail,
    log,
  });
  services = serveInternalServices({
    config,
    lifecycle,
    fail,
    log,
    shards,
    redis,
    replicatedElsewhere,
    probe,
    consuming,
    instance: instance.id,
    notices,
    eventTypes,
    gate,
    fleet: {
      beganAt: () => beganAt,
      guarded: guardedBy(config),
      isCompared: (band) =>
        schedules.some(({ name, everyMs }) => name === `reconcile-${band}` && everyMs !== undefined),
      maxUsage,
      allowed,
    },
    health,
    now,
  });
  await announce(redis, instance);
  const telling = setInterval(() => {
    void flow.flush();
    announce(probe, instance).catch((err: unknown) => log.debug({ err }, "could not say that this process lives"));
  }, ANNOUNCE_EVERY_MS);
  lifecycle.own("announcement", telling, async (timer) => {
    clearInterval(timer);
    await withinDeadline(PROBE_DEADLINE_MS, Promise.all([flow.flush(), leave(probe, instance)])).catch(() => {});
  });
  log.info({ shards: shards.all.length, concurrency: config.WORKER_CONCURRENCY }, "taking jobs");
});
