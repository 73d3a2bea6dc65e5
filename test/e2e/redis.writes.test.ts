import { once } from "node:events";
import { disconnect, type Redis, reconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { primariesOf } from "@calendly-worker/core/redis/nodes";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedisNode } from "../support/redis-node.ts";

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  // One alone, whatever the other tests have: this is about a single connection.
  server = await startRedisNode();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

type Handle = Record<string, (...args: unknown[]) => unknown>;

/** How often something is handed to the system to be sent to Redis while the work is done. */
async function writesOf(work: () => Promise<unknown>): Promise<number> {
  const streams = primariesOf(redis).map(({ stream }) => stream as unknown as { readonly _handle: Handle });
  let writes = 0;
  const before = streams.map(({ _handle: handle }) => {
    const kinds = ["writev", "writeUtf8String", "writeLatin1String", "writeBuffer"];
    const own = kinds.map((kind) => [kind, handle[kind]?.bind(handle)] as const);
    for (const [kind, write] of own) {
      handle[kind] = (...args) => {
        writes += 1;
        return write?.(...args);
      };
    }
    return () => {
      for (const kind of kinds) delete handle[kind];
    };
  });
  await work();
  for (const undo of before) undo();
  return writes;
}

const COUNT = 100;
const many = () => Promise.all(Array.from({ length: COUNT }, () => redis.incr("many")));

test("commands of one moment are sent at once, in their order, and each is answered by itself", async () => {
  const answers: number[] = [];
  const failing = redis.call("no-such-command").catch((err: Error) => err.message);
  expect(await writesOf(async () => answers.push(...(await many())))).toBe(1);
  expect(answers).toEqual(Array.from({ length: COUNT }, (_, index) => index + 1));
  expect(await failing).toMatch(/unknown command/);
  expect(
    await writesOf(async () => {
      for (let one = 0; one < 3; one++) await redis.incr("many");
    }),
  ).toBe(3);
});

test("or in parts where they are long, so that Redis need not wait for the last", async () => {
  const long = "x".repeat(10_000);
  const writes = await writesOf(() => Promise.all(Array.from({ length: 20 }, () => redis.set("long", long))));
  expect(writes).toBe(10);
});

test("on every connection that takes the place of one that broke", async () => {
  const closed = once(redis, "close");
  reconnect(redis);
  await closed;
  await untilReady(redis, AbortSignal.timeout(5_000));
  expect(await writesOf(many)).toBe(1);
});
