import { RefusalError } from "@calendly-worker/core/config/refusal";
import { clockOf } from "@calendly-worker/core/redis/clock";
import { RedisUnavailableError } from "@calendly-worker/core/redis/deadline";
import { isFull, MEMORY_LIMIT, tryWrite } from "@calendly-worker/core/redis/fitness";
import { primaryOf } from "@calendly-worker/core/redis/nodes";
import { createReplication, REPLICAS_TIMEOUT_MS } from "@calendly-worker/core/redis/replication";
import { checkRedisSafety, UnsafeRedisError } from "@calendly-worker/core/redis/safety";
import { readVitals } from "@calendly-worker/core/redis/vitals";
import { findWriteRefusal, WRITE_REFUSALS } from "@calendly-worker/core/redis/write-refusal";
import type { Installation } from "../installation.ts";
import { type Finding, fault, judgeSkew, ok } from "./finding.ts";

export async function lookAtRedis(installation: Installation): Promise<Finding[]> {
  const { redis } = installation;
  const refusal = await findRefusal(installation);
  const faults = await lookAtVitals(installation, refusal);
  if (refusal !== undefined) {
    faults.unshift(fault("redis", refusal.message, "Change the settings of Redis as the message says."));
  }
  // What has been found explains that no write is taken.
  if (faults.length === 0) faults.push(...(await lookAtWrites(installation)));
  if (faults.length === 0) faults.push(...(await lookAtReplicas(installation)));
  const at = await clockOf(redis);
  const skewMs = Math.abs(Date.now() - at);
  return [
    ...(faults.length > 0 ? faults : [ok("redis", "Redis is reachable and safe to keep deliveries in.")]),
    judgeSkew("redis' clock", "Redis", skewMs),
  ];
}

/** Why the apps would refuse to work with it. */
async function findRefusal({ config, redis }: Installation): Promise<RefusalError | undefined> {
  try {
    await checkRedisSafety(redis, config.REDIS_ALLOW_UNSAFE ?? []);
    return undefined;
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    return error;
  }
}

/** What its settings do not tell: whether it has memory to spare, and whether its file is written. */
async function lookAtVitals({ config, redis }: Installation, refusal: RefusalError | undefined): Promise<Finding[]> {
  const vitals = await readVitals(redis);
  const faults: Finding[] = [];
  if (isFull(vitals)) {
    const [used, limit] = [vitals.usedBytes, vitals.limitBytes].map((bytes) => `${(bytes / 1e6).toFixed(1)} MB`);
    const message = `It uses ${used} of its maxmemory of ${limit}: above ${MEMORY_LIMIT * 100} % nothing new is taken on.`;
    faults.push(fault("redis", message, WRITE_REFUSALS.OOM.remedy));
  }
  const isWaived = config.REDIS_ALLOW_UNSAFE?.includes("persistence") === true;
  const keepsNone = refusal instanceof UnsafeRedisError && refusal.faults.includes("persistence");
  if (!vitals.isPersistent && !isWaived && !keepsNone) {
    const message = "The last write to its append-only file failed: nothing new is taken on.";
    faults.push(fault("redis", message, WRITE_REFUSALS.MISCONF.remedy));
  }
  return faults;
}

/** For whatever reason a write is refused, ingests answer 503. */
async function lookAtWrites({ redis }: Installation): Promise<Finding[]> {
  try {
    await tryWrite(redis);
    return [];
  } catch (error) {
    const refusal = findWriteRefusal(error);
    if (refusal === undefined) throw error;
    return [fault("redis", `It takes no writes: ${refusal.why}.`, refusal.remedy)];
  }
}

/** With fewer replicas than are to have each delivery, ingests answer 503 too. */
async function lookAtReplicas({ config, redis, shards }: Installation): Promise<Finding[]> {
  const replicas = config.REDIS_WAIT_REPLICAS;
  const replicated = createReplication({ redis, replicas, timeoutMs: REPLICAS_TIMEOUT_MS });
  // One of each primary: those who wait hold up the connection to it.
  const ofPrimaries = new Map(shards.all.map((shard) => [primaryOf(redis, shard.tag), shard]));
  const writes = await Promise.allSettled([...ofPrimaries.values()].map((shard) => replicated(shard, async () => {})));
  const errors = writes.flatMap((write): unknown[] => (write.status === "rejected" ? [write.reason] : []));
  const unforeseen = errors.find((error) => !(error instanceof RedisUnavailableError));
  if (unforeseen !== undefined) throw unforeseen;
  const advice = "Bring its replicas back, or lower REDIS_WAIT_REPLICAS.";
  return [...new Set(errors.map((error) => (error as Error).message))].map((message) =>
    fault("redis", `Deliveries are answered 503: ${message}.`, advice),
  );
}
