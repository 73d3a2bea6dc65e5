import type { Redis } from "ioredis";

/** How a Redis is, as it says itself. */
export interface RedisVitals {
  readonly isPrimary: boolean;
  /** It keeps an append-only file, and its last write to it went well. */
  readonly isPersistent: boolean;
  readonly usedBytes: number;
  /** What it may use: its maxmemory, else the memory of its machine; 0 where it does not say. */
  readonly maxBytes: number;
  /** Its maxmemory alone; 0 where it has none. */
  readonly limitBytes: number;
  readonly clients: number;
}

export async function readVitals(redis: Redis): Promise<RedisVitals> {
  return parseVitals(await redis.info());
}

/** The facts of an answer to `INFO`, by name. */
export function parseInfo(info: string): ReadonlyMap<string, string | undefined> {
  return new Map(info.split(/\r?\n/).map((line) => line.split(":", 2) as [string, string | undefined]));
}

export function parseVitals(info: string): RedisVitals {
  const facts = parseInfo(info);
  const number = (name: string) => Number(facts.get(name) ?? 0);
  return {
    isPrimary: facts.get("role") === "master",
    isPersistent: facts.get("aof_enabled") === "1" && facts.get("aof_last_write_status") === "ok",
    usedBytes: number("used_memory"),
    maxBytes: number("maxmemory") || number("total_system_memory"),
    limitBytes: number("maxmemory"),
    clients: number("connected_clients"),
  };
}
