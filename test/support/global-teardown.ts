import type { RedisServer } from "./redis-server.ts";
import { removeOurKeys } from "./shared-redis.ts";

export default async function tearDown(): Promise<void> {
  const { privateRedis } = globalThis as { privateRedis?: RedisServer };
  const given = process.env["TEST_REDIS_URL"];
  if (privateRedis) await privateRedis.stop();
  else if (given) await removeOurKeys(given);
}
