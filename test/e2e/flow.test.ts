import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { flowKey } from "@calendly-worker/core/redis/keys";
import { createFlow } from "@calendly-worker/core/store/flow";
import { afterEach, beforeEach, expect } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

const MINUTE = 29_000_000;

let server: RedisServer;
let proxy: TcpProxy;
let redis: Redis;

beforeEach(async () => {
  server = await startRedis();
  proxy = await startTcpProxy(server.port);
  redis = await connectRedis(`redis://127.0.0.1:${proxy.port}`);
});

afterEach(async () => {
  disconnect(redis);
  await proxy.close();
  await server.stop();
});

testWhere(
  "a proxy",
  "what is counted while the counts are written down is not lost, and is forgotten in time",
  async () => {
    const flow = createFlow(redis, () => MINUTE * 60_000);
    const held = proxy.holdAt("hincrby", "before");
    flow.count("accepted", 3);
    flow.count("published", 2);
    const flushing = flow.flush();
    await held;
    flow.count("published", 5);
    proxy.letGo();
    await flushing;
    await flow.flush();
    expect(await redis.hgetall(flowKey(MINUTE))).toEqual({ accepted: "3", published: "7" });
    expect(await redis.ttl(flowKey(MINUTE))).toBeGreaterThan(3_600);
    expect((await flow.last(1))[0]).toMatchObject({ accepted: 3, published: 7, folded: 0 });
  },
);
