import { randomUUID } from "node:crypto";
import { RefusalError } from "../config/refusal.ts";
import type { Redis } from "./connect.ts";
import { deploymentKey, type Shards } from "./keys.ts";

/** CALENDLY_SHARDS differs from what this data was written with: ids would be looked for in the wrong shard. */
export class ShardCountError extends RefusalError {
  override readonly name = "ShardCountError";
}

/**
 * Writes down the number of shards at the first start and holds every later one to it. Gives the deployment's id: as
 * long as it is the same, nobody has emptied this Redis or put another in its place.
 */
export async function checkDeployment(redis: Redis, shards: Shards): Promise<string> {
  // Where there are data from before this was written down, nothing of what will come is history.
  const isNew = (await readDeploymentId(redis)) === undefined;
  await redis.hsetnx(deploymentKey, "began_at", isNew ? String(Date.now()) : "0");
  await redis.hsetnx(deploymentKey, "id", randomUUID());
  await redis.hsetnx(deploymentKey, "shards", String(shards.all.length));
  await compareShards(redis, shards);
  return (await readDeploymentId(redis)) ?? "";
}

/**
 * Throws a ShardCountError where this data was written with another number of shards. Writes nothing: a command that is
 * the first to look at a Redis settles neither how the apps are to divide it nor where history ends.
 */
export async function compareShards(redis: Redis, shards: Shards): Promise<void> {
  const count = String(shards.all.length);
  const fixed = (await redis.hget(deploymentKey, "shards")) ?? count;
  if (fixed === count) return;
  throw new ShardCountError(
    "shard_count_changed",
    `CALENDLY_SHARDS is ${count}, but this Redis was set up with ${fixed}. Set CALENDLY_SHARDS=${fixed}, or start with an empty Redis.`,
  );
}

/** Undefined where nobody has begun to work with this Redis. */
export async function readDeploymentId(redis: Redis): Promise<string | undefined> {
  return (await redis.hget(deploymentKey, "id")) ?? undefined;
}

/** When somebody began to work with this Redis, in ms. What happened before at Calendly is history. */
export async function readBeganAt(redis: Redis): Promise<number> {
  return Number((await redis.hget(deploymentKey, "began_at")) ?? 0);
}
