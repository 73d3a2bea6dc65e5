import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer, type Producer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createReplication, type Replicated } from "@calendly-worker/core/redis/replication";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { until } from "../support/until.ts";
import { bodiesOf, deliveryOf } from "./bookings.ts";

// What it costs to lose less: deliveries taken a second and the time for one, with each setting of Redis, in turns and in
// one run.

const ROUNDS = 12;
const DELIVERIES_PER_ROUND = 2_000;
const AT_ONCE = 50;
const DEADLINE_MS = 10_000;

const SETTINGS = [
  { name: "appendfsync everysec", appendfsync: "everysec", replicas: 0 },
  { name: "appendfsync always", appendfsync: "always", replicas: 0 },
  { name: "everysec, REDIS_WAIT_REPLICAS=1", appendfsync: "everysec", replicas: 1 },
  { name: "always, REDIS_WAIT_REPLICAS=1", appendfsync: "always", replicas: 1 },
] as const;

interface Store {
  readonly name: string;
  readonly servers: readonly RedisServer[];
  readonly redis: Redis;
  readonly producer: Producer<typeof deliveries>;
  readonly replicated: Replicated;
  readonly perSecond: number[];
  readonly ms: number[];
}

const shards = createShards(1);
const shard = shards.first;

function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

async function open({ name, appendfsync, replicas }: (typeof SETTINGS)[number]): Promise<Store> {
  const primary = await startRedis({ appendfsync });
  const redis = await connectRedis(primary.url);
  const servers = [primary];
  if (replicas > 0) {
    servers.push(await startRedis({ appendfsync, settings: ["--replicaof", "127.0.0.1", String(primary.port)] }));
    await until("the replica has all", async () => /slave0:.*state=online/.test(await redis.info("replication")));
  }
  const producer = createProducer({ redis, contract: deliveries, deduplicationMs: 3_600_000, deadlineMs: DEADLINE_MS });
  const replicated = createReplication({ redis, replicas, timeoutMs: DEADLINE_MS });
  return { name, servers, redis, producer, replicated, perSecond: [], ms: [] };
}

async function round({ producer, replicated, perSecond, ms }: Store): Promise<void> {
  const all = Array.from({ length: DELIVERIES_PER_ROUND }, (_, index) => bodiesOf(index)[0]);
  const started = performance.now();
  async function take(): Promise<void> {
    for (let body = all.pop(); body !== undefined; body = all.pop()) {
      const from = performance.now();
      const data = deliveryOf(body);
      await replicated(shard, () => producer.enqueue(shard, "invitee.created", data));
      ms.push(performance.now() - from);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, take));
  perSecond.push(DELIVERIES_PER_ROUND / ((performance.now() - started) / 1_000));
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

const stores: Store[] = [];
try {
  for (const setting of SETTINGS) stores.push(await open(setting));
  say(`Taking ${DELIVERIES_PER_ROUND} deliveries with each setting, ${AT_ONCE} at once, in turns, ${ROUNDS} times …\n`);
  for (let turn = -2; turn < ROUNDS; turn++) {
    for (const store of turn % 2 === 0 ? stores : stores.toReversed()) await round(store);
    // The first rounds are for the compiler.
    if (turn < 0) for (const store of stores) for (const values of [store.perSecond, store.ms]) values.length = 0;
  }
  const [base] = stores as [Store];
  say(`${"".padEnd(32)} taken/s  ratio   p50 ms  ratio   p99 ms  ratio`);
  for (const store of stores) {
    const figures = [
      [quantile(store.perSecond, 0.5), quantile(base.perSecond, 0.5), 0],
      [quantile(store.ms, 0.5), quantile(base.ms, 0.5), 1],
      [quantile(store.ms, 0.99), quantile(base.ms, 0.99), 1],
    ] as const;
    const cells = figures.map(
      ([value, of, digits]) => value.toFixed(digits).padStart(7) + (value / of).toFixed(2).padStart(7),
    );
    say(`${store.name.padEnd(32)} ${cells.join("  ")}`);
  }
} finally {
  for (const { redis, servers } of stores) {
    disconnect(redis);
    for (const server of servers) await server.stop();
  }
}
process.exit();
