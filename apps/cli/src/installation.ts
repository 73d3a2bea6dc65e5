import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import type { Config } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import type { Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { createDestinationManager } from "@calendly-worker/core/outcomes/manage-destinations";
import { createTargetGuard } from "@calendly-worker/core/outcomes/push-target";
import { deliveries, sweeps } from "@calendly-worker/core/queues/contracts";
import { createJobSearch } from "@calendly-worker/core/queues/job-search";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { createPushQueues } from "@calendly-worker/core/queues/push-queues";
import { connectWorker, disconnect, type Redis, reach } from "@calendly-worker/core/redis/connect";
import { compareShards } from "@calendly-worker/core/redis/deployment";
import { createShards } from "@calendly-worker/core/redis/keys";
import { checkTopology } from "@calendly-worker/core/redis/safety";
import { createApiGate } from "@calendly-worker/core/store/api-gate";
import { createAudit } from "@calendly-worker/core/store/audit";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createCredentials } from "@calendly-worker/core/store/credentials";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import { createEraser } from "@calendly-worker/core/store/eraser";
import { type Fingerprint, openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { createHostTimes } from "@calendly-worker/core/store/host-times";
import { createNotices } from "@calendly-worker/core/store/notices";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { createTokenSnoozes } from "@calendly-worker/core/store/snoozes";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { createSweepRuns } from "@calendly-worker/core/store/sweep-runs";
import { tokenDied } from "@calendly-worker/core/store/token-died";
import type { Logger } from "@calendly-worker/core/telemetry/logger";

export type Installation = Awaited<ReturnType<typeof openInstallation>>;

/** What every command is given. */
export interface CommandPorts {
  open(): Promise<Installation>;
  /** The settings alone, for what needs no Redis. */
  settings(): Config;
  readonly input: NodeJS.ReadableStream;
  say(line: string): void;
  note(line: string): void;
  /** What a script sees where the command itself did not fail. */
  exitWith(code: number): void;
}

const CONNECT_DEADLINE_MS = 5_000;
const API_TIMEOUT_MS = 10_000;
const API_TOTAL_TIMEOUT_MS = 90_000;
/** A person would rather wait for the next minute's budget than start again. */
const PATIENT: Patience = { patienceMs: 60_000 };

/** How long a call waits for budget. */
interface Patience {
  readonly patienceMs: number;
}

/** The stores of the installation whose Redis REDIS_URL names. The lifecycle closes them. */
export async function openInstallation(config: Config, lifecycle: Lifecycle, log: Logger) {
  const shards = createShards(config.CALENDLY_SHARDS);
  const retentionDays = config.CALENDLY_BOOKING_RETENTION_DAYS;
  const now = Date.now;
  const redis = lifecycle.own("redis", connectWorker(config.REDIS_URL, log), disconnect);
  await reach(redis, CONNECT_DEADLINE_MS);
  await checkTopology(redis);
  await compareShards(redis, shards);

  const bookings = createBookingStore({
    redis,
    shards,
    retentionDays,
    referenceField: config.CALENDLY_REFERENCE_FIELD,
    now,
  });
  const search = createJobSearch({ redis, shards, contract: deliveries });
  lifecycle.own("job search", search, () => search.close());
  const hostTimes = createHostTimes({
    redis,
    shards,
    retentionDays,
    now,
    publishFrom: () => 0,
    alternativesTo: async () => null,
  });
  const quarantine = createQuarantine({ redis, shards, retentionDays, now });
  const eraser = createEraser({ redis, shards, bookings, hostTimes, quarantine, deliveries: search, now });
  const sweepJobs = createPendingJobs({ redis, shards, contract: sweeps, log });
  lifecycle.own("sweeps", sweepJobs, (jobs) => jobs.close());
  const pushQueues = createPushQueues({ redis, shard: shards.first, log });
  lifecycle.own("push queues", pushQueues, (queues) => queues.close());
  const fingerprintOf = await openFingerprints(redis);
  return {
    config,
    log,
    redis,
    shards,
    bookings,
    eraser,
    quarantine,
    subscriptions: createSubscriptionStore(redis),
    credentials: createCredentials(redis, now),
    fingerprintOf,
    runs: createSweepRuns(redis),
    snoozes: createTokenSnoozes(redis, now),
    audit: createAudit(redis, now),
    sweepJobs,
    destinations: createDestinationManager({
      destinations: createDestinationStore(redis, now),
      queues: pushQueues,
      guard: createTargetGuard(config.CALENDLY_DESTINATION_ALLOW ?? []),
      now,
    }),
    openCalendly: (patience = PATIENT) => openCalendly(config, redis, fingerprintOf, lifecycle, log, patience),
  };
}

/** Calendly's API, by the gate that the workers share: what is asked here counts against the same budget. */
async function openCalendly(
  config: Config,
  redis: Redis,
  fingerprintOf: Fingerprint,
  lifecycle: Lifecycle,
  log: Logger,
  patience: Patience,
) {
  const tokens = [config.CALENDLY_API_TOKEN, config.CALENDLY_API_TOKEN_SECONDARY].filter(
    (token) => token !== undefined,
  );
  if (tokens.length === 0)
    throw new RefusalError("config_invalid", "CALENDLY_API_TOKEN is not set: Calendly cannot be asked.");
  const now = Date.now;
  const hasOther = config.CALENDLY_API_TOKEN_SECONDARY !== undefined;
  const onTokenDead = tokenDied({ notices: createNotices(redis, now), log, hasOther });
  const gate = createApiGate({ redis, tokens, fingerprintOf, requestTimeoutMs: API_TIMEOUT_MS, now, onTokenDead });
  const client = createCalendlyClient({
    gate,
    baseUrl: config.CALENDLY_API_BASE_URL.replace(/\/$/, ""),
    timeoutMs: API_TIMEOUT_MS,
    totalTimeoutMs: API_TOTAL_TIMEOUT_MS,
    ...patience,
    signal: lifecycle.signal,
  });
  return { client, gate, credentials: createCredentials(redis, now) };
}
