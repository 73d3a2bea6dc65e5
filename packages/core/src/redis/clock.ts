import type { Redis } from "ioredis";

/** What time it is at a Redis, in ms, fractions included. */
export async function clockOf(node: Pick<Redis, "time">): Promise<number> {
  const [seconds, microseconds] = await node.time();
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}
