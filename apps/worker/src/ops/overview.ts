import type { Advice, TokenState } from "@calendly-worker/core/calendly/credential-advice";
import { whyPaused } from "@calendly-worker/core/outcomes/manage-destinations";
import type { PushQueues } from "@calendly-worker/core/queues/push-queues";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import { fieldsOf } from "@calendly-worker/core/redis/fields";
import { incompleteKey, outcomeStreamKey, type Shards } from "@calendly-worker/core/redis/keys";
import type { UnsafeRedis } from "@calendly-worker/core/redis/safety";
import { type RedisVitals, readVitals } from "@calendly-worker/core/redis/vitals";
import type { ApiBudget } from "@calendly-worker/core/store/api-budget";
import type { Audit, AuditEntry } from "@calendly-worker/core/store/audit";
import type { DestinationStore } from "@calendly-worker/core/store/destinations";
import type { Flow, FlowMinute } from "@calendly-worker/core/store/flow";
import type { HeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { countOpenConflicts } from "@calendly-worker/core/store/host-times";
import { liveInstances } from "@calendly-worker/core/store/instances";
import { type KeptNotice, lastNotices } from "@calendly-worker/core/store/notices";
import type { Quarantine } from "@calendly-worker/core/store/quarantine";
import { type QueueLoad, readAllLoads } from "@calendly-worker/core/store/queue-load";
import type { SubscriptionReport } from "@calendly-worker/core/store/subscriptions";
import type { Health } from "../health.ts";

/** All that the overview shows. A part that could not be read is undefined. */
export interface Overview {
  readonly at: number;
  readonly health: Pick<Health, "status" | "reasons">;
  readonly flow: readonly FlowMinute[] | undefined;
  readonly queues:
    | readonly (QueueLoad & { readonly name: string; readonly heartbeatAt: number | undefined })[]
    | undefined;
  readonly outcomes: readonly ShownOutcome[] | undefined;
  readonly credentials: ShownCredentials | undefined;
  readonly counts:
    | { readonly conflicts: number; readonly incomplete: number; readonly quarantined: number }
    | undefined;
  readonly destinations: readonly ShownDestination[] | undefined;
  readonly notices: readonly KeptNotice[] | undefined;
  readonly actions: readonly AuditEntry[] | undefined;
  readonly redis: (RedisVitals & { readonly waived: readonly UnsafeRedis[] }) | undefined;
  readonly instances: { readonly ingest: number; readonly worker: number } | undefined;
}

export interface ShownOutcome {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly publishedAt: number;
}

export interface ShownDestination {
  readonly id: string;
  readonly host: string;
  readonly waiting: number;
  readonly failed: number;
  readonly failures: number;
  readonly paused: string | undefined;
}

/** As health tells them. */
export interface ShownCredentials {
  readonly tokens: readonly { readonly slot: string; readonly state: TokenState; readonly used: number }[];
  readonly signingKeys: readonly { readonly slot: string; readonly verified: number; readonly lastUsedAt?: number }[];
  readonly lastDeliveryAt: string | null;
  readonly advice: readonly Advice[];
  readonly budget: ApiBudget;
  readonly subscription: SubscriptionReport | null;
}

const DEADLINE_MS = 2_000;
const OUTCOMES = 15;
const NOTICES = 8;
const ACTIONS = 8;
const MINUTES = 60;

export interface OverviewPorts {
  /** Its commands fail while Redis is away. */
  readonly redis: Redis;
  readonly shards: Shards;
  readonly health: () => Promise<Health>;
  readonly flow: Flow;
  readonly heartbeats: Pick<HeartbeatStore, "last">;
  readonly quarantine: Pick<Quarantine, "count">;
  readonly destinations: Pick<DestinationStore, "all" | "state">;
  readonly pushQueues: Pick<PushQueues, "counts">;
  readonly audit: Audit;
  /** Faults of Redis that are waived. */
  readonly allowed: readonly UnsafeRedis[];
  readonly now: () => number;
}

export async function readOverview(ports: OverviewPorts): Promise<Overview> {
  const { redis, shards, flow, audit, allowed, now } = ports;
  const orAbsent = <T>(part: Promise<T>) => withinDeadline(DEADLINE_MS, part).catch(() => undefined);
  const health = await orAbsent(ports.health());
  const [minutes, queues, outcomes, counts, destinations, notices, actions, vitals, instances] = await Promise.all([
    orAbsent(flow.last(MINUTES)),
    orAbsent(readQueues(ports)),
    orAbsent(newestOutcomes(redis, shards)),
    orAbsent(readCounts(ports)),
    orAbsent(readDestinations(ports)),
    orAbsent(lastNotices(redis, NOTICES)),
    orAbsent(audit.last(ACTIONS)),
    orAbsent(readVitals(redis)),
    orAbsent(countInstances(redis)),
  ]);
  const details = health?.details as Partial<ShownCredentials> | undefined;
  return {
    at: now(),
    health: health ?? { status: "down", reasons: ["redis_not_writable"] },
    flow: minutes,
    queues,
    outcomes,
    credentials: details?.tokens === undefined ? undefined : (details as ShownCredentials),
    counts,
    destinations,
    notices,
    actions,
    redis: vitals && { ...vitals, waived: allowed },
    instances,
  };
}

async function readQueues({ redis, shards, heartbeats, now }: OverviewPorts) {
  const [last, loads] = await Promise.all([heartbeats.last(), readAllLoads(redis, shards, now())]);
  return loads.map((load) => ({ ...load, heartbeatAt: last.get(load.name) }));
}

/** Of all shards. Nothing of what they carry: that is somebody's. */
async function newestOutcomes(redis: Redis, shards: Shards): Promise<ShownOutcome[]> {
  const all = await Promise.all(
    shards.all.map(async (shard) => {
      const entries = await redis.xrevrange(outcomeStreamKey(shard), "+", "-", "COUNT", OUTCOMES);
      return entries.map(([streamId, fields]) => {
        const all = fieldsOf(fields);
        const of = (name: string) => all.get(name) ?? "";
        return { id: of("id"), type: of("type"), subject: of("subject"), publishedAt: Number(streamId.split("-")[0]) };
      });
    }),
  );
  return all
    .flat()
    .toSorted((a, b) => b.publishedAt - a.publishedAt)
    .slice(0, OUTCOMES);
}

async function readCounts({ redis, shards, quarantine, now }: OverviewPorts) {
  const [conflicts, incomplete] = await Promise.all([
    Promise.all(shards.all.map((shard) => countOpenConflicts(redis, shard, now()))),
    Promise.all(shards.all.map((shard) => redis.zcard(incompleteKey(shard)))),
  ]);
  const sum = (counts: readonly number[]) => counts.reduce((total, one) => total + one, 0);
  return { conflicts: sum(conflicts), incomplete: sum(incomplete), quarantined: await quarantine.count(now()) };
}

async function readDestinations({ destinations, pushQueues }: OverviewPorts): Promise<ShownDestination[]> {
  return await Promise.all(
    (await destinations.all()).map(async ({ id, url }) => {
      const [state, counts] = await Promise.all([destinations.state(id), pushQueues.counts(id)]);
      const { waiting, failed } = counts;
      const paused = whyPaused(state, counts);
      return { id, host: new URL(url).host, waiting, failed, failures: state.failures, paused };
    }),
  );
}

async function countInstances(redis: Redis) {
  const [ingest, worker] = await Promise.all([liveInstances(redis, "ingest"), liveInstances(redis, "worker")]);
  return { ingest: ingest.length, worker: worker.length };
}
