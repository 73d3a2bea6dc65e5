import type { Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import type { Consumer } from "@calendly-worker/core/queues/consumer";
import { allQueues } from "@calendly-worker/core/queues/contracts";
import { createHeartbeats } from "@calendly-worker/core/queues/heartbeats";
import { type Redis, reconnect } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { HeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { readQueueLoad } from "@calendly-worker/core/store/queue-load";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import { createDeafness, LOOKS } from "./deafness.ts";

const LOOK_DEADLINE_MS = 1_000;

/** Puts heartbeats into the queues, and ends a worker that hears nothing any more. A part of main.ts. */
export function keepAlive(parts: {
  readonly lifecycle: Lifecycle;
  /** For nothing else: given up and made anew where it does not answer. Its commands fail while Redis is away. */
  readonly watch: Redis;
  readonly shards: Shards;
  readonly consumers: () => readonly Consumer[];
  readonly heartbeats: Pick<HeartbeatStore, "noteDeafWorker">;
  readonly heartbeatMs: number;
  readonly deafAfterMs: number;
  /** Ends this process with an exit code that has it replaced. */
  readonly fail: (reason: string) => void;
  readonly log: Logger;
}): void {
  const { lifecycle, watch, shards, log } = parts;
  const queues = lifecycle.own(
    "heartbeats",
    createHeartbeats({ redis: watch, queues: allQueues(shards), everyMs: parts.heartbeatMs, log }),
    (open) => open.close().catch(() => {}),
  );
  const load = (consumer: Consumer) =>
    readQueueLoad(watch, consumer.shard, { name: consumer.queue }, { now: 0, perMinute: consumer.perMinute ?? 0 });
  const deafness = createDeafness({
    consumers: parts.consumers,
    afterMs: parts.deafAfterMs,
    async load(consumer) {
      try {
        return await withinDeadline(LOOK_DEADLINE_MS, load(consumer));
      } catch (error) {
        reconnect(watch);
        throw error;
      }
    },
  });

  async function beat(): Promise<void> {
    await withinDeadline(LOOK_DEADLINE_MS, queues.beat()).catch((err: unknown) => log.debug({ err }, "no heartbeat"));
  }

  let isLooking = false;
  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    const queue = await deafness.look();
    isLooking = false;
    if (queue === undefined || lifecycle.signal.aborted) return;
    log.fatal({ queue, deafAfterMs: parts.deafAfterMs }, "this worker is deaf: jobs wait and it begins none");
    await withinDeadline(LOOK_DEADLINE_MS, parts.heartbeats.noteDeafWorker()).catch(() => {});
    parts.fail("the worker is deaf");
  }

  const beating = setInterval(() => void beat(), parts.heartbeatMs);
  const looking = setInterval(() => void look(), parts.deafAfterMs / LOOKS);
  void beat();
  lifecycle.own("liveness", undefined, () => {
    clearInterval(beating);
    clearInterval(looking);
  });
}
