import { primariesOf, type Redis } from "@calendly-worker/core/redis/nodes";

// What a test asks of, or does to, a Redis as a whole: of a cluster, to each primary.

export async function keysLike(redis: Redis, pattern: string): Promise<string[]> {
  return (await Promise.all(primariesOf(redis).map((node) => node.keys(pattern)))).flat();
}

export async function emptyRedis(redis: Redis): Promise<void> {
  await Promise.all(primariesOf(redis).map((node) => node.flushall()));
}

export async function keyCount(redis: Redis): Promise<number> {
  return (await Promise.all(primariesOf(redis).map((node) => node.dbsize()))).reduce((sum, count) => sum + count, 0);
}

/** The same command to each; gives the first one's answer. */
export async function callEach(redis: Redis, command: string, ...args: readonly string[]): Promise<unknown> {
  return (await Promise.all(primariesOf(redis).map((node) => node.call(command, ...args))))[0];
}

/** Leaves each primary so much of its memory: `maxmemory` becomes what it uses, divided by that part. */
export async function fillTo(redis: Redis, part: number): Promise<void> {
  for (const node of primariesOf(redis)) {
    const [, used] = /used_memory:(\d+)/.exec(await node.info("memory")) ?? [];
    await node.config("SET", "maxmemory", String(Math.ceil(Number(used) / part)));
  }
}
