import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedisNode } from "../support/redis-node.ts";
import { pin } from "./machine.ts";
import { CORE } from "./places.ts";

/** A Redis of one's own, on the core that is meant for it. */
export interface Store {
  readonly url: string;
  readonly redis: Redis;
  stop(): Promise<void>;
}

export type Fsync = "everysec" | "always";

/** Its file is never written anew: that would come at any time and cost whoever is measured just then. */
const NEVER_REWRITTEN = ["--auto-aof-rewrite-percentage", "0"];

export async function openStore(appendfsync: Fsync = "everysec"): Promise<Store> {
  const server: RedisServer = await startRedisNode({ appendfsync, settings: NEVER_REWRITTEN });
  const redis = await connectRedis(server.url);
  pin(Number(/process_id:(\d+)/.exec(await redis.info("server"))?.[1]), CORE.redis);
  return {
    url: server.url,
    redis,
    async stop() {
      disconnect(redis);
      await server.stop();
    },
  };
}

/** CPU time, in µs, that a Redis has used so far. */
export async function redisCpuOf(redis: Redis): Promise<number> {
  const info = await redis.info("cpu");
  const secondsOf = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1]);
  return (secondsOf("used_cpu_user") + secondsOf("used_cpu_sys")) * 1e6;
}

/** Time, in µs, that a Redis has spent on each command so far, in scripts or not. */
export async function commandsUsOf(redis: Redis): Promise<ReadonlyMap<string, number>> {
  const info = await redis.info("commandstats");
  return new Map(
    [...info.matchAll(/^cmdstat_(\S+?):calls=\d+,usec=(\d+)/gm)].map(([, name, us]) => [String(name), Number(us)]),
  );
}

export async function memoryOf(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
}
