import { primariesOf, type Redis } from "./nodes.ts";

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

/** Of a cluster: what holds for all its nodes, and the memory of the one that has the least to spare. */
export async function readVitals(redis: Redis, section = "default"): Promise<RedisVitals> {
  const all = await Promise.all(primariesOf(redis).map(async (node) => parseVitals(await node.info(section))));
  const [fullest = parseVitals("")] = all.toSorted((a, b) => shareOf(b) - shareOf(a));
  return {
    ...fullest,
    isPrimary: all.every(({ isPrimary }) => isPrimary),
    isPersistent: all.every(({ isPersistent }) => isPersistent),
    clients: all.reduce((sum, { clients }) => sum + clients, 0),
  };
}

const shareOf = ({ usedBytes, maxBytes }: RedisVitals) => (maxBytes > 0 ? usedBytes / maxBytes : 0);

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
