import { type TokenRecord, tokenState } from "@calendly-worker/core/calendly/credential-advice";
import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import { whyPaused } from "@calendly-worker/core/outcomes/manage-destinations";
import { allQueues, BANDS, type Band } from "@calendly-worker/core/queues/contracts";
import type { PushQueues } from "@calendly-worker/core/queues/push-queues";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import { incompleteKey, type Shards } from "@calendly-worker/core/redis/keys";
import type { UnsafeRedis } from "@calendly-worker/core/redis/safety";
import { readVitals } from "@calendly-worker/core/redis/vitals";
import { readApiBudget } from "@calendly-worker/core/store/api-budget";
import type { Credentials } from "@calendly-worker/core/store/credentials";
import type { DestinationStore } from "@calendly-worker/core/store/destinations";
import type { Expectations } from "@calendly-worker/core/store/expectations";
import type { HeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { countOpenConflicts } from "@calendly-worker/core/store/host-times";
import { liveInstances } from "@calendly-worker/core/store/instances";
import { countDeadLetters, readGroups } from "@calendly-worker/core/store/outcome-groups";
import type { Quarantine } from "@calendly-worker/core/store/quarantine";
import { readQueueLoad, sumOfLoads } from "@calendly-worker/core/store/queue-load";
import type { TokenSnoozes } from "@calendly-worker/core/store/snoozes";
import type { SubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import type { SweepRuns } from "@calendly-worker/core/store/sweep-runs";
import type { Meter, Tell } from "@calendly-worker/core/telemetry/meter";
import type { Guarded } from "./guarded.ts";

/** For all of it: a frozen Redis does not hold up whoever asks. */
const DEADLINE_MS = 2_000;

export interface FleetPorts {
  /** Its commands fail while Redis is away. */
  readonly redis: Redis;
  readonly shards: Shards;
  readonly gate: ApiGate;
  readonly credentials: Credentials;
  readonly snoozes: TokenSnoozes;
  readonly subscriptions: Pick<SubscriptionStore, "report">;
  readonly runs: Pick<SweepRuns, "report">;
  readonly expectations: Pick<Expectations, "counts">;
  readonly quarantine: Pick<Quarantine, "count">;
  readonly heartbeats: Pick<HeartbeatStore, "last" | "deafWorkers">;
  readonly destinations: Pick<DestinationStore, "all" | "state">;
  readonly pushQueues: Pick<PushQueues, "counts">;
  readonly beganAt: () => number;
  readonly guarded: Guarded;
  /** Whether a band is compared again and again. */
  readonly isCompared: (band: Band) => boolean;
  readonly maxUsage: number;
  /** Faults of Redis that are waived. */
  readonly allowed: readonly UnsafeRedis[];
  readonly now: () => number;
}

/** What is kept in Redis is read when it is asked for, so that every worker tells the same. What cannot be read is absent. */
export function tellOfTheFleet(meter: Meter, ports: FleetPorts): void {
  const parts = [
    tellQueues,
    tellBookings,
    tellTokens,
    tellSigningKeys,
    tellSubscription,
    tellComparisons,
    tellConsumers,
    tellDestinations,
    tellRedis,
  ];
  meter.read(async (tell) => {
    const ends = performance.now() + DEADLINE_MS;
    await Promise.all(
      parts.map(async (part) => {
        const told: Parameters<Tell>[] = [];
        try {
          const leftMs = Math.max(ends - performance.now(), 1);
          await withinDeadline(
            leftMs,
            part((...values) => void told.push(values), ports),
          );
          for (const values of told) tell(...values);
        } catch {
          meter.count("fleetReadErrors", {});
        }
      }),
    );
  });
}

async function tellQueues(tell: Tell, { redis, shards, heartbeats, now }: FleetPorts): Promise<void> {
  const queues = Map.groupBy(allQueues(shards), ({ contract }) => contract.name);
  const last = await heartbeats.last();
  await Promise.all(
    [...queues].map(async ([queue, all]) => {
      const loads = all.map(({ contract, shard }) => readQueueLoad(redis, shard, contract, { now: now() }));
      const load = sumOfLoads(await Promise.all(loads));
      for (const state of ["waiting", "active", "delayed", "failed"] as const) {
        tell("queueJobs", { queue, state }, load[state]);
      }
      tell("queueOldestJob", { queue }, (load.oldestJobMs ?? 0) / 1_000);
      tell("queuePaused", { queue }, load.isPaused ? 1 : 0);
      const at = last.get(queue);
      if (at !== undefined) tell("heartbeat", { queue }, at / 1_000);
    }),
  );
  tell("deafWorkers", {}, await heartbeats.deafWorkers());
  for (const app of ["ingest", "worker"] as const) {
    tell("workers", { kind: app }, (await liveInstances(redis, app)).length);
  }
}

async function tellBookings(tell: Tell, ports: FleetPorts): Promise<void> {
  const { redis, shards, expectations, quarantine, now } = ports;
  const sumOver = async (of: (shard: Shards["first"]) => Promise<number>) =>
    (await Promise.all(shards.all.map(of))).reduce((total, one) => total + one, 0);
  tell("conflictsOpen", {}, await sumOver((shard) => countOpenConflicts(redis, shard, now())));
  tell("incomplete", {}, await sumOver((shard) => redis.zcard(incompleteKey(shard))));
  tell("quarantined", {}, await quarantine.count(now()));
  const counts = await expectations.counts();
  for (const state of ["waiting", "completed", "expired"] as const) tell("expectations", { state }, counts[state]);
}

async function tellTokens(tell: Tell, { redis, gate, credentials, snoozes, maxUsage, now }: FleetPorts): Promise<void> {
  const { limit, left } = await readApiBudget(redis, now());
  if (limit !== undefined) tell("apiBudgetLimit", {}, limit);
  if (left !== undefined) tell("apiBudgetLeft", {}, left);
  const tokens = await credentials.tokens(gate.tokens);
  const isDead = (token: TokenRecord) => token.seen !== undefined && token.seen !== "active";
  for (const token of tokens) {
    const { slot, used, fingerprint } = token;
    const isSnoozed = (await snoozes.until(fingerprint)) !== undefined;
    tell("tokenRequests", { slot }, used);
    tell("tokenUsage", { slot }, isSnoozed ? 0 : used / maxUsage);
    const is = tokenState(token, maxUsage);
    for (const state of ["active", "approaching_limit", "expired", "revoked", "invalid", "unknown"] as const) {
      tell("tokenState", { slot, state }, is === state ? 1 : 0);
    }
  }
  const [first, ...others] = tokens;
  const isFailedOver = first !== undefined && isDead(first) && others.some((token) => !isDead(token));
  tell("tokenFailedOver", {}, isFailedOver ? 1 : 0);
  tell("credentialAdvice", {}, (await credentials.report())?.advice.length ?? 0);
}

async function tellSigningKeys(tell: Tell, { credentials, beganAt }: FleetPorts): Promise<void> {
  for (const { slot, verified, lastUsedAt } of await credentials.signingKeys({})) {
    tell("signingKeyVerified", { slot }, verified);
    if (lastUsedAt !== undefined) tell("signingKeyLastUsed", { slot }, lastUsedAt / 1_000);
  }
  tell("lastDelivery", {}, ((await credentials.lastDeliveryAt()) ?? beganAt()) / 1_000);
}

async function tellSubscription(tell: Tell, { subscriptions, guarded, beganAt }: FleetPorts): Promise<void> {
  // What was found before the guardian was switched off would be told for ever.
  if (guarded === "nothing") return;
  const report = await subscriptions.report();
  const checkedAt = report?.checkedAt ? Date.parse(report.checkedAt) : undefined;
  if (guarded === "subscription") tell("subscriptionChecked", {}, (checkedAt ?? beganAt()) / 1_000);
  for (const { code } of report?.problems ?? []) tell("subscriptionProblem", { code }, 1);
  // None that was ever seen is not none.
  if (report === undefined || checkedAt === undefined) return;
  for (const state of ["active", "disabled"] as const) {
    tell("subscriptions", { state }, report.subscriptions.filter((one) => one.state === state).length);
  }
  const starts = report.subscriptions.flatMap(({ retryStartedAt }) =>
    retryStartedAt === null ? [] : [Date.parse(retryStartedAt)],
  );
  if (starts.length > 0) tell("subscriptionRetryStart", {}, Math.min(...starts) / 1_000);
}

async function tellComparisons(tell: Tell, { runs, beganAt, isCompared }: FleetPorts): Promise<void> {
  for (const band of BANDS) {
    // One that was switched off must not seem to have stopped, nor what it found last be told for ever.
    if (!isCompared(band)) continue;
    const run = await runs.report(band);
    const endedAt = run?.endedAt === undefined ? beganAt() : Date.parse(run.endedAt);
    tell("reconciliationEnded", { band }, endedAt / 1_000);
    if (run?.endedAt === undefined) continue;
    tell("reconciliationEvents", { band }, run.seen);
    tell("reconciliationFacts", { band }, run.facts);
    tell("reconciliationLag", { band }, run.longestLagMs / 1_000);
    tell("reconciliationPassedOver", { band }, run.passedOver ?? 0);
    let total = 0;
    for (const [event, count] of Object.entries(run.missed)) {
      tell("reconciliationMissed", { band, event }, count);
      total += count;
    }
    if (run.facts > 0) tell("reconciliationMissedRatio", { band }, total / run.facts);
  }
}

async function tellConsumers(tell: Tell, { redis, shards, now }: FleetPorts): Promise<void> {
  const deadLetters = new Map<string, number>();
  for (const shard of shards.all) {
    for (const { group, shard: index, unread, pending, oldest } of await readGroups(redis, shard)) {
      const labels = { group, shard: String(index) };
      if (unread !== undefined) tell("groupUnread", labels, unread);
      tell("groupPending", labels, pending);
      const publishedAt = Number(oldest?.split("-")[0] ?? now());
      tell("groupLag", labels, Math.max(now() - publishedAt, 0) / 1_000);
      deadLetters.set(group, (deadLetters.get(group) ?? 0) + (await countDeadLetters(redis, shard, group)));
    }
  }
  for (const [group, count] of deadLetters) tell("groupDeadLetters", { group }, count);
}

async function tellDestinations(tell: Tell, { destinations, pushQueues }: FleetPorts): Promise<void> {
  for (const { id: destination } of await destinations.all()) {
    const counts = await pushQueues.counts(destination);
    const state = await destinations.state(destination);
    const { failures, failingSince } = state;
    tell("destinationWaiting", { destination }, counts.waiting);
    tell("destinationDeadLetters", { destination }, counts.failed);
    tell("destinationPaused", { destination }, whyPaused(state, counts) === undefined ? 0 : 1);
    if (failures > 0 && failingSince !== undefined) {
      tell("destinationFailingSince", { destination }, failingSince / 1_000);
    }
  }
}

async function tellRedis(tell: Tell, { redis, allowed }: FleetPorts): Promise<void> {
  const { isPrimary, isPersistent, usedBytes, maxBytes, clients } = await readVitals(redis);
  // A 0 wakes somebody, who could do nothing about what is waived. Whether Redis takes writes is told by each process.
  if (!allowed.includes("replica")) tell("redisPrimary", {}, isPrimary ? 1 : 0);
  if (!allowed.includes("persistence")) tell("redisPersistent", {}, isPersistent ? 1 : 0);
  tell("redisMemoryUsed", {}, usedBytes);
  tell("redisMemoryMax", {}, maxBytes);
  tell("redisClients", {}, clients);
}
