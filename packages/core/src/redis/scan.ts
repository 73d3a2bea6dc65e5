import { primariesOf, type Redis } from "./nodes.ts";

const SCAN_COUNT = 1_000;

/** What follows `prefix` in the names of all keys that begin so. One that is written meanwhile may be left out or given twice. */
export async function* idsUnder(redis: Redis, prefix: string): AsyncGenerator<string> {
  for (const node of primariesOf(redis)) {
    let cursor = "0";
    do {
      const [next, keys] = await node.scan(cursor, "MATCH", `${prefix}*`, "COUNT", SCAN_COUNT);
      for (const key of keys) yield key.slice(prefix.length);
      cursor = next;
    } while (cursor !== "0");
  }
}
