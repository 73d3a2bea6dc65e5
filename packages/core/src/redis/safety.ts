import { RefusalError } from "../config/refusal.ts";
import type { UNSAFE_REDIS } from "../config/schema.ts";
import { isCluster, primariesOf, type Redis } from "./nodes.ts";
import { parseInfo } from "./vitals.ts";

export type UnsafeRedis = (typeof UNSAFE_REDIS)[number];

/** Redis is reachable but would lose deliveries. Nothing but a change of its settings helps, so do not try again. */
export class UnsafeRedisError extends RefusalError {
  override readonly name = "UnsafeRedisError";
  readonly faults: readonly UnsafeRedis[];

  constructor(faults: readonly Fault[]) {
    const lines = faults.map(
      ({ name, problem, remedy }) => `  - ${problem} ${remedy} (to allow it: REDIS_ALLOW_UNSAFE=${name})`,
    );
    super("redis_unsafe", `This Redis is not safe to keep deliveries in:\n${lines.join("\n")}`);
    this.faults = faults.map(({ name }) => name);
  }
}

/** A node of a cluster was named as if it were alone: what lies on the others would be out of reach. */
export class ClusterNodeError extends RefusalError {
  override readonly name = "ClusterNodeError";

  constructor() {
    super("redis_is_cluster", "This Redis is a node of a cluster. Write REDIS_URL=redis-cluster://… with its address.");
  }
}

/** Throws a ClusterNodeError where the address is that of one server and the server is not alone. */
export async function checkTopology(redis: Redis): Promise<void> {
  if (isCluster(redis)) return;
  if (parseInfo(await redis.info("cluster")).get("cluster_enabled") === "1") throw new ClusterNodeError();
}

/** Whether a Redis is unsafe for no other reason than that it is a replica now. */
export function isReplicaOnly(error: unknown): boolean {
  return error instanceof UnsafeRedisError && error.faults.every((fault) => fault === "replica");
}

interface Fault {
  readonly name: UnsafeRedis;
  readonly problem: string;
  readonly remedy: string;
}

/**
 * Throws an UnsafeRedisError that names every fault not in `allowed`, each with how to mend it, and a ClusterNodeError,
 * which nothing allows.
 */
export async function checkRedisSafety(redis: Redis, allowed: readonly UnsafeRedis[]): Promise<void> {
  await checkTopology(redis);
  const infos = await Promise.all(primariesOf(redis).map((node) => node.info()));
  const found = infos.flatMap(findFaults).filter(({ name }) => !allowed.includes(name));
  // What several nodes of a cluster have is said once.
  const faults = [...new Map(found.map((fault) => [fault.problem, fault])).values()];
  if (faults.length > 0) throw new UnsafeRedisError(faults);
}

/** What is unsafe about a Redis whose `INFO` reads so. Valkey answers with the Redis version it is compatible with. */
export function findFaults(info: string): Fault[] {
  const facts = parseInfo(info);
  const version = facts.get("redis_version") ?? "unknown";
  const policy = facts.get("maxmemory_policy") ?? "unknown";
  const faults: Fault[] = [];
  if (!(Number.parseInt(version, 10) >= 7)) {
    faults.push({
      name: "version",
      problem: `It is version ${version}.`,
      remedy: "Use Redis 7.0 or newer, or Valkey 8 or newer",
    });
  }
  if (facts.get("role") !== "master") {
    faults.push({
      name: "replica",
      problem: `Its role is ${facts.get("role") ?? "unknown"}.`,
      remedy: "Point REDIS_URL at the primary",
    });
  }
  if (policy !== "noeviction") {
    faults.push({
      name: "eviction",
      problem: `Its maxmemory-policy is ${policy}, so it drops jobs when memory is short.`,
      remedy: "Run CONFIG SET maxmemory-policy noeviction and set the same in redis.conf",
    });
  }
  if (facts.get("aof_enabled") !== "1") {
    faults.push({
      name: "persistence",
      problem: "It keeps no append-only file, so a restart loses what was acknowledged.",
      remedy: "Run CONFIG SET appendonly yes and set the same in redis.conf",
    });
  }
  return faults;
}
