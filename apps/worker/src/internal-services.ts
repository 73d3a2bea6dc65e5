import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import type { Config } from "@calendly-worker/core/config/load";
import type { Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { createOutcomeFeed } from "@calendly-worker/core/outcomes/feed";
import { createDestinationManager } from "@calendly-worker/core/outcomes/manage-destinations";
import { createPusher } from "@calendly-worker/core/outcomes/push-request";
import { createTargetGuard } from "@calendly-worker/core/outcomes/push-target";
import { openBoardQueues } from "@calendly-worker/core/queues/board-queues";
import type { Consumer, createConsumer } from "@calendly-worker/core/queues/consumer";
import { createPushQueues } from "@calendly-worker/core/queues/push-queues";
import { connectWorker, type Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { ReplicatedElsewhere } from "@calendly-worker/core/redis/replication";
import { createAudit } from "@calendly-worker/core/store/audit";
import { createBookingSearch } from "@calendly-worker/core/store/booking-search";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createCredentials } from "@calendly-worker/core/store/credentials";
import { createDestinationStore } from "@calendly-worker/core/store/destinations";
import type { EventTypes } from "@calendly-worker/core/store/event-types";
import { createExpectations } from "@calendly-worker/core/store/expectations";
import { createFlow } from "@calendly-worker/core/store/flow";
import { createHeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import type { Notices } from "@calendly-worker/core/store/notices";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { createTokenSnoozes } from "@calendly-worker/core/store/snoozes";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { createSweepRuns } from "@calendly-worker/core/store/sweep-runs";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import { Router } from "express";
import { type FleetPorts, tellOfTheFleet } from "./fleet-metrics.ts";
import type { Health } from "./health.ts";
import { pushOutcome } from "./jobs/push-outcome.ts";
import { startPushing } from "./pushing.ts";
import { apiRoutes } from "./routes/api.ts";
import { opsRoutes } from "./routes/ops.ts";

const PUSH_TIMEOUT_MS = 10_000;

export interface InternalServices {
  readonly routes: Router;
  /** Those that push to destinations. */
  pushConsumers(): readonly Consumer[];
}

/** Starts the pushing of outcomes to destinations, and gives the routes that people and services ask. A part of main.ts. */
export function serveInternalServices(parts: {
  readonly config: Config<"worker">;
  readonly lifecycle: Lifecycle;
  /** Ends the worker as failed. */
  readonly fail: (reason: string) => void;
  readonly log: Logger;
  readonly shards: Shards;
  readonly redis: Redis;
  readonly replicatedElsewhere: ReplicatedElsewhere;
  /** Its commands fail while Redis is away: whoever asks wants an answer now. */
  readonly probe: Redis;
  readonly consuming: Pick<Parameters<typeof createConsumer>[0], "lockMs" | "stalledCheckMs" | "meter" | "onHeartbeat">;
  readonly gate: ApiGate;
  readonly fleet: Pick<FleetPorts, "allowed" | "beganAt" | "guarded" | "isCompared" | "maxUsage">;
  readonly health: () => Promise<Health>;
  readonly instance: string;
  readonly notices: Notices;
  readonly eventTypes: EventTypes;
  readonly now: () => number;
}): InternalServices {
  const { config, lifecycle, log, shards, redis, probe, notices, eventTypes, now } = parts;
  const retentionDays = config.CALENDLY_BOOKING_RETENTION_DAYS;
  const referenceField = config.CALENDLY_REFERENCE_FIELD;
  const guard = createTargetGuard(config.CALENDLY_DESTINATION_ALLOW ?? []);
  const queues = lifecycle.own("push queues", createPushQueues({ redis, shard: shards.first, log }), (open) =>
    open.close(),
  );
  const pusher = lifecycle.own("pusher", createPusher({ guard, timeoutMs: PUSH_TIMEOUT_MS, now }), (open) =>
    open.close(),
  );
  const destinations = createDestinationStore(redis, now);
  const pushing = startPushing({
    ...parts.consuming,
    redis,
    shards,
    replicatedElsewhere: parts.replicatedElsewhere,
    instance: parts.instance,
    destinations,
    queues,
    handle: pushOutcome({ redis, shards, destinations, queues, pusher, notices, meter: parts.consuming.meter, now }),
    maxAgeDays: config.CALENDLY_OUTCOMES_MAX_AGE,
    fail: parts.fail,
    log,
  });
  lifecycle.own("pushing", pushing, (open) => open.close(config.SHUTDOWN_DEADLINE * 1_000));

  const bookings = createBookingStore({ redis: probe, shards, retentionDays, referenceField, now });
  const search = createBookingSearch({ redis: probe, shards, bookings, referenceField });
  const feed = lifecycle.own(
    "outcome feed",
    createOutcomeFeed(() => connectWorker(config.REDIS_URL, log), shards),
    (open) => open.close(),
  );
  const expectations = createExpectations({ redis: probe, shards, search, retentionDays, now });
  const seen = {
    redis: probe,
    shards,
    quarantine: createQuarantine({ redis: probe, shards, retentionDays, now }),
    heartbeats: createHeartbeatStore(probe),
    destinations: createDestinationStore(probe, now),
    pushQueues: lifecycle.own(
      "push queues seen",
      createPushQueues({ redis: probe, shard: shards.first, log }),
      (open) => open.close(),
    ),
    now,
  };
  tellOfTheFleet(parts.consuming.meter, {
    ...seen,
    ...parts.fleet,
    gate: parts.gate,
    credentials: createCredentials(probe, now),
    snoozes: createTokenSnoozes(probe, now),
    subscriptions: createSubscriptionStore(probe),
    runs: createSweepRuns(probe),
    expectations,
  });
  const router = Router();
  router.use(
    opsRoutes({
      ...seen,
      allowed: parts.fleet.allowed,
      health: parts.health,
      flow: createFlow(probe, now),
      audit: createAudit(probe, now),
      queues: lifecycle.own("board queues", openBoardQueues({ redis: probe, shards, log }), (open) => open.close()),
      isWritable: config.OPS_DASHBOARD_WRITABLE,
      log,
    }),
  );
  const api = apiRoutes({
    redis: probe,
    shards,
    bookings,
    search,
    eventTypes,
    expectations,
    destinations: createDestinationManager({
      destinations: createDestinationStore(probe, now),
      queues,
      guard,
      now,
    }),
    feed,
    referenceField,
    log,
    signal: lifecycle.signal,
  });
  router.use(api);
  return { routes: router, pushConsumers: pushing.consumers };
}
