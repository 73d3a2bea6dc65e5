import calculateSlot from "cluster-key-slot";
import type { Cluster, RedisOptions, Redis as Single } from "ioredis";

/** A connection to one Redis, or to all nodes of a cluster, which sends each command to the node that has its key. */
export type Redis = Single | Cluster;

/** By what it can do: a consumer's connection may come of another copy of the library. */
export const isCluster = (redis: Redis): redis is Cluster => "nodes" in redis;

/** Connections to each node that holds keys: one, where there is no cluster. */
export function primariesOf(redis: Redis): readonly Single[] {
  return isCluster(redis) ? redis.nodes("master") : [redis];
}

/** The connection that commands with this key are sent on; undefined while nobody is known to have it. */
export function primaryOf(redis: Redis, key: string): Single | undefined {
  if (!isCluster(redis)) return redis;
  const [name] = redis.slots[calculateSlot(key)] ?? [];
  return redis.nodes("master").find((node) => nameOf(node) === name);
}

/** Of a connection like it: the one to the node that `node` leads to. */
export function sameNode(redis: Redis, node: Single): Single | undefined {
  if (!isCluster(redis)) return redis;
  return redis.nodes("master").find((candidate) => nameOf(candidate) === nameOf(node));
}

const nameOf = ({ options }: Single) => `${options.host}:${options.port}`;

/** One more connection like it, with other settings for its commands. */
export function duplicate(
  redis: Redis,
  options: Pick<RedisOptions, "maxRetriesPerRequest" | "enableOfflineQueue">,
): Redis {
  if (!isCluster(redis)) return redis.duplicate({ ...options, lazyConnect: false });
  const { enableOfflineQueue = true, ...ofNode } = options;
  const { replyMapping: _, ...known } = redis.options.redisOptions ?? {};
  const redisOptions = { ...known, ...ofNode };
  return redis.duplicate(undefined, { enableOfflineQueue, lazyConnect: false, redisOptions });
}
