import { deliveries } from "@calendly-worker/core/queues/contracts";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards, outcomeStreamKey } from "@calendly-worker/core/redis/keys";
import { primariesOf } from "@calendly-worker/core/redis/nodes";
import { DEMO_TOKEN, startSimulator } from "../simulator/simulator.ts";
import { startCluster } from "../support/cluster.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { WEBHOOK_PATH } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { KEY, startIngest } from "./contenders.ts";
import { startWorker } from "./drain.ts";
import { type Figure, figure } from "./figures.ts";
import { sendLoad } from "./load.ts";
import { cpuOf, pin } from "./machine.ts";
import { CORE } from "./places.ts";
import { redisCpuOf } from "./stores.ts";

// What a delivery and its fact cost where they are spread over the shards of a cluster.

const PART = "shards";
const SHARDS = [1, 2, 4] as const;
const CONNECTIONS = 32;

interface Spread {
  readonly shards: number;
  readonly ingestUs: number[];
  readonly workerUs: number[];
  readonly redisUs: number[];
}

export async function measureShards(options: {
  readonly rounds: number;
  readonly count: number;
  readonly say: (line: string) => void;
}): Promise<Figure[]> {
  const { rounds, count, say } = options;
  const simulator = await startSimulator({ seed: 3, rateLimit: 1_000_000 });
  const all: Spread[] = SHARDS.map((shards) => ({ shards, ingestUs: [], workerUs: [], redisUs: [] }));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const spread of round % 2 === 0 ? all : all.toReversed()) {
        say(`shards: ${count} deliveries over ${spread.shards} on a cluster, round ${round + 1} of ${rounds} …`);
        await takeAndFold(spread, { url: simulator.url, token: DEMO_TOKEN }, count);
      }
    }
    const [one, ...more] = all as [Spread, ...Spread[]];
    return more.flatMap((spread) => {
      const line = (what: string, of: (spread: Spread) => number[], bound = {}) =>
        figure({ part: PART, what: `${what}, ${spread.shards} shards`, unit: "µs", ...bound }, of(spread), {
          name: "one shard",
          values: of(one),
        });
      return [
        line("CPU per delivery", ({ ingestUs }) => ingestUs, { atMost: 1.15 }),
        line("CPU per fact", ({ workerUs }) => workerUs, { atMost: 1.15 }),
        line("CPU of all primaries per delivery and fact", ({ redisUs }) => redisUs),
      ];
    });
  } finally {
    await simulator.close();
  }
}

/** Throws where not every delivery became one outcome. */
async function takeAndFold(spread: Spread, calendly: Parameters<typeof startWorker>[1], count: number): Promise<void> {
  const cluster = await startCluster({ appendfsync: "everysec" });
  const redis = await connectRedis(cluster.url);
  const variables = { CALENDLY_SHARDS: String(spread.shards) };
  const ingest = startIngest(cluster.url, variables);
  try {
    const { url } = await ingest.untilLogged("listening");
    await ingest.untilLogged("ready for deliveries");
    pin(ingest.pid, CORE.measured);
    const load = { url: `${url}${WEBHOOK_PATH}`, key: KEY, connections: CONNECTIONS };
    await sendLoad({ ...load, count: Math.ceil(count / 4) }, CORE.load);
    const cpuOfPrimaries = async () => {
      const each = await Promise.all(primariesOf(redis).map(redisCpuOf));
      return each.reduce((sum, us) => sum + us, 0);
    };
    const redisBefore = await cpuOfPrimaries();
    const before = cpuOf(ingest.pid);
    await sendLoad({ ...load, count }, CORE.load);
    spread.ingestUs.push((cpuOf(ingest.pid) - before) / count);
    const worker = startWorker(cluster.url, calendly, variables);
    pin(worker.pid, CORE.measured);
    const all = createShards(spread.shards).all;
    const outcomes = async () => {
      const counts = await Promise.all(all.map((shard) => redis.xlen(outcomeStreamKey(shard))));
      return counts.reduce((sum, length) => sum + length, 0);
    };
    const expected = count + Math.ceil(count / 4);
    const reach = async (length: number) => {
      const isThere = async () => (await outcomes()) >= length;
      await until(`${length} outcomes of ${deliveries.name} are there`, isThere, { deadlineMs: 600_000 });
    };
    await reach(expected / 4);
    const [warm, seen] = [cpuOf(worker.pid), await outcomes()];
    await reach(expected);
    spread.workerUs.push((cpuOf(worker.pid) - warm) / (expected - seen));
    spread.redisUs.push(((await cpuOfPrimaries()) - redisBefore) / count);
    await worker.stop();
    const end = await outcomes();
    if (end !== expected) throw new Error(`expected ${expected} outcomes, got ${end}`);
  } finally {
    await ingest.stop();
    disconnect(redis);
    await cluster.stop();
  }
}
