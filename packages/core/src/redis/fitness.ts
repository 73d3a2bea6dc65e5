import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "../telemetry/logger.ts";
import { isConnectionError, type Redis } from "./connect.ts";
import { withinDeadline } from "./deadline.ts";
import { checkDeployment, readDeploymentId } from "./deployment.ts";
import { probeKey, type Shards } from "./keys.ts";
import { checkRedisSafety, isReplicaOnly, type UnsafeRedis } from "./safety.ts";
import { type RedisVitals, readVitals } from "./vitals.ts";

/** Whether a Redis can be worked with: safe, the one that this process began with, and taking writes. */
export interface Fitness {
  /**
   * Resolves when Redis is found fit to begin with. A replica, or a node that is away, is waited for: a fail-over makes it a primary, or leads
   * elsewhere. Rejects with a RefusalError for what only a change of settings mends.
   */
  untilFit(signal: AbortSignal): Promise<void>;
  /** Whether a write is taken now, by the Redis that was found fit. Never rejects. */
  isFit(deadlineMs: number): Promise<boolean>;
}

const REPLICA_CHECK_MS = 1_000;
const PROBE_TTL_MS = 10_000;
/** The part of `maxmemory` above which nothing new is taken on. */
export const MEMORY_LIMIT = 0.97;

/** Whether so much is used that the next delivery might not fit, nor the jobs that would make room. */
export function isFull({ usedBytes, limitBytes }: Pick<RedisVitals, "usedBytes" | "limitBytes">): boolean {
  return limitBytes > 0 && usedBytes > limitBytes * MEMORY_LIMIT;
}

/** A write that changes nothing, as a full Redis and a replica still answer a PING. Rejects where none is taken. */
export async function tryWrite(redis: Redis): Promise<void> {
  await redis.set(probeKey, "1", "PX", PROBE_TTL_MS);
}

export function createFitness(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly allowed: readonly UnsafeRedis[];
  readonly log: Logger;
  /** All that was in Redis is gone: what stands there from the start on is to be written again. */
  readonly onEmptied?: () => Promise<void>;
}): Fitness {
  const { redis, shards, allowed, log, onEmptied } = ports;
  let deploymentId: string | undefined;
  let unfit: unknown;
  let wasFull = false;

  async function check(): Promise<void> {
    await checkRedisSafety(redis, allowed);
    const id = await checkDeployment(redis, shards);
    if (deploymentId !== undefined && id !== deploymentId) {
      log.error({}, "this Redis was emptied, or is another one: what was kept is gone");
      await onEmptied?.();
    }
    deploymentId = id;
  }

  /** After a fail-over or a restart it may have other settings, or other data. */
  async function checkAgain(): Promise<void> {
    try {
      await check();
      if (unfit !== undefined) log.info({}, "redis is fit again");
      unfit = undefined;
    } catch (err) {
      if (unfit === undefined) log.error({ err }, "redis is not fit to work with");
      unfit = err;
    }
  }

  /** Whether there is any; said when that changes. */
  function noteHeadRoom(memory: RedisVitals): boolean {
    const full = isFull(memory);
    const { usedBytes, limitBytes } = memory;
    if (full && !wasFull) log.error({ usedBytes, limitBytes }, "redis has no memory to spare");
    if (wasFull && !full) log.info({}, "redis has memory to spare again");
    wasFull = full;
    return !full;
  }

  return {
    async untilFit(signal) {
      for (let said = false; ; ) {
        try {
          await check();
          break;
        } catch (err) {
          // One node of a cluster may be away while the connection as a whole is ready.
          const isAway = err instanceof Error && isConnectionError(err);
          if (!isReplicaOnly(err) && !isAway) throw err;
          if (!said && !isAway) log.error({ err }, "waiting for a primary");
          said ||= !isAway;
          await pause(REPLICA_CHECK_MS, undefined, { signal });
        }
      }
      redis.on("ready", () => void checkAgain());
    },

    async isFit(deadlineMs) {
      if (redis.status !== "ready" || deploymentId === undefined) return false;
      try {
        const reading = Promise.all([readDeploymentId(redis), readVitals(redis, "memory"), tryWrite(redis)]);
        const [id, memory] = await withinDeadline(deadlineMs, reading);
        const hasHeadRoom = noteHeadRoom(memory);
        if (unfit !== undefined || id !== deploymentId) await withinDeadline(deadlineMs, checkAgain());
        return unfit === undefined && hasHeadRoom;
      } catch {
        return false;
      }
    },
  };
}
