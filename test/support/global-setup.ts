import { type RedisServer, startRedis } from "./redis-server.ts";
import { assertEmpty } from "./shared-redis.ts";

/** One Redis for all tests that neither flush nor kill it: the one TEST_REDIS_URL names, else a private one. */
export default async function setUp(): Promise<void> {
  const given = process.env["TEST_REDIS_URL"];
  if (given) {
    await assertEmpty(given);
    return;
  }
  const server = await startRedis();
  process.env["TEST_REDIS_URL"] = server.url;
  (globalThis as { privateRedis?: RedisServer }).privateRedis = server;
}
