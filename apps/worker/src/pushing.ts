import { setTimeout as pause } from "node:timers/promises";
import { createOutcomeConsumer, GroupForgottenError } from "@calendly-worker/core/outcomes";
import { matches, type OutcomeFilter } from "@calendly-worker/core/outcomes/outcome-filter";
import { type Consumer, createConsumer, type JobHandler } from "@calendly-worker/core/queues/consumer";
import { pushesTo } from "@calendly-worker/core/queues/contracts";
import type { PushQueues } from "@calendly-worker/core/queues/push-queues";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { RedisUnavailableError } from "@calendly-worker/core/redis/deadline";
import { COMMON, type Shards } from "@calendly-worker/core/redis/keys";
import { PrimaryChangedError, type ReplicatedElsewhere } from "@calendly-worker/core/redis/replication";
import type { Destination, DestinationStore } from "@calendly-worker/core/store/destinations";
import { PUSH_GROUP } from "@calendly-worker/core/store/forget-group";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";

/** Hands outcomes on to the queues of destinations, and works on those queues. */
export interface Pushing {
  /** Those of the destinations that are there now. */
  consumers(): readonly Consumer[];
  close(deadlineMs: number): Promise<void>;
}

/** A new destination is served after this time at most. */
const LOOK_EVERY_MS = 1_000;
/** More than any queue does: BullMQ looks whether a queue is held only where it has a limit. */
const NO_LIMIT = 10_000_000;
const DAY_MS = 86_400_000;
const WAIT_AGAIN_MS = 1_000;

export function startPushing(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly replicatedElsewhere: ReplicatedElsewhere;
  readonly instance: string;
  readonly destinations: DestinationStore;
  readonly queues: PushQueues;
  readonly handle: JobHandler<ReturnType<typeof pushesTo>>;
  /** So long an outcome waits for a destination at most. */
  readonly maxAgeDays: number;
  readonly lockMs: number;
  readonly stalledCheckMs: number;
  readonly meter: Meter;
  readonly onHeartbeat: Parameters<typeof createConsumer>[0]["onHeartbeat"];
  /** Ends the worker as failed. */
  readonly fail: (reason: string) => void;
  readonly log: Logger;
}): Pushing {
  const { redis, shards, replicatedElsewhere, destinations, queues, log } = ports;
  const served = new Map<string, { readonly consumer: Consumer; readonly concurrency: number }>();
  let isClosed = false;

  const outcomes = createOutcomeConsumer({
    redis,
    group: PUSH_GROUP,
    name: ports.instance,
    maxAttempts: Number.MAX_SAFE_INTEGER,
    whenExpired: "continue",
    async onOutcome(event, { shard, streamId, signal }) {
      const untilReplicated = replicatedElsewhere();
      const publishedAt = Number(streamId.split("-")[0]);
      const wanting = (await destinations.all()).filter(
        (destination) => publishedAt >= destination.createdAt && matches(event, filterOf(destination)),
      );
      await Promise.all(
        wanting.map(async ({ id: destinationId, ordered }) => {
          const { id, type, subject } = event;
          const push = { destinationId, shard, streamId, id, type, subject };
          // What is too old is dropped once an hour; until then its place in the line is needed.
          const waitsForMs = (ports.maxAgeDays + 1) * DAY_MS;
          if (ordered) await destinations.line.join(destinationId, subject, queues.jobId(push), waitsForMs);
          await queues.add(push);
        }),
      );
      if (wanting.length === 0) return;
      // Its acknowledgement lies with its stream.
      const acknowledgedIn = [shards.all[shard] ?? shards.first];
      await untilDone(() => untilReplicated([shards.first, COMMON], acknowledgedIn), signal);
    },
    onError: (err) => log.warn({ err }, "could not hand outcomes on to destinations, trying again"),
  });
  /**
   * Waits again for as long as replicas are away. To begin anew would push again what has been pushed: of that a queue
   * knows for an hour alone.
   */
  async function untilDone(wait: () => Promise<void>, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return await wait();
      } catch (err) {
        if (!(err instanceof RedisUnavailableError) || err instanceof PrimaryChangedError) throw err;
        log.warn({ err }, "replicas do not have the pushes yet, waiting");
        await pause(WAIT_AGAIN_MS, undefined, { signal });
      }
    }
  }

  const handing = outcomes.run().catch((err: unknown) => {
    log.error({ err }, "outcomes are not handed on to destinations any more");
    // A worker that is started anew makes the group again, and pushes what is kept once more: rather twice than never.
    if (err instanceof GroupForgottenError) ports.fail("the group of the pushes is gone");
  });

  async function serve(): Promise<void> {
    const wanted = new Map((await destinations.all()).map(({ id, concurrency }) => [id, concurrency]));
    for (const [id, { consumer, concurrency }] of served) {
      if (wanted.get(id) === concurrency) continue;
      served.delete(id);
      await consumer.close(0);
    }
    for (const [id, concurrency] of wanted) {
      if (isClosed || served.has(id)) continue;
      const { lockMs, stalledCheckMs, handle, meter, onHeartbeat } = ports;
      const contract = pushesTo(id);
      const consuming = { redis, shard: shards.first, contract, handle, concurrency, perMinute: NO_LIMIT, lockMs };
      served.set(id, {
        consumer: createConsumer({ ...consuming, stalledCheckMs, meter, onHeartbeat, log }),
        concurrency,
      });
    }
  }

  let serving = Promise.resolve();
  function look(): void {
    serving = serving.then(serve).catch((err: unknown) => log.debug({ err }, "could not look at the destinations"));
  }
  const timer = setInterval(look, LOOK_EVERY_MS);
  look();

  const consumers = () => [...served.values()].map(({ consumer }) => consumer);

  return {
    consumers,
    async close(deadlineMs) {
      isClosed = true;
      clearInterval(timer);
      await Promise.all([
        outcomes.stop({ deadlineMs }).then(() => handing),
        ...consumers().map((consumer) => consumer.close(deadlineMs)),
      ]);
    },
  };
}

function filterOf({ types, eventTypes, hosts }: Destination): OutcomeFilter {
  return { types: types ?? undefined, eventTypes: eventTypes ?? undefined, hosts: hosts ?? undefined };
}
