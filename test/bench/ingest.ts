import { type Contender, KEY, SECONDARY_KEY, startContender } from "./contenders.ts";
import { type Figure, figure } from "./figures.ts";
import { type LoadOptions, type LoadResult, sendLoad } from "./load.ts";
import { cpuOf, residentOf } from "./machine.ts";
import { CORE } from "./places.ts";
import { median } from "./stats.ts";
import { redisCpuOf } from "./stores.ts";

// What taking a delivery costs, and how long whoever delivers has to wait.

export interface Cost extends LoadResult {
  readonly perSecond: number;
  /** CPU of the process, and of its Redis, for a delivery that was answered. */
  readonly cpuUs: number;
  readonly redisUs: number;
}

type Load = Omit<LoadOptions, "url" | "key"> & { readonly key?: string };

const CONNECTIONS = 32;
const PART = "ingest";

/** What one of them needs for it. Throws where an answer or what is stored is not what it has to be. */
export async function costOf({ name, url, server, redis, waiting }: Contender, load: Load): Promise<Cost> {
  const before = await waiting();
  const redisBefore = await redisCpuOf(redis);
  let cpuBefore = 0;
  const result = await sendLoad({ url, key: KEY, ...load }, CORE.load, () => {
    cpuBefore = cpuOf(server.pid);
  });
  const cpu = cpuOf(server.pid) - cpuBefore;
  const redisCpu = (await redisCpuOf(redis)) - redisBefore;
  const forged = Math.floor(load.count * (load.forged ?? 0));
  const { 200: taken = 0, 401: refused = 0 } = result.answers;
  const stored = (await waiting()) - before;
  if (taken !== load.count - forged || refused !== forged || stored !== result.facts) {
    const answers = JSON.stringify(result.answers);
    throw new Error(
      `${name}: of ${load.count}, ${forged} of them forged, expected ${result.facts} to be stored, got ${stored} and ${answers}`,
    );
  }
  const { count } = load;
  return { ...result, perSecond: count / result.seconds, cpuUs: cpu / count, redisUs: redisCpu / count };
}

const VARIANTS: readonly { readonly what: string; readonly load: Partial<Load>; readonly oursAlone?: boolean }[] = [
  { what: "signed with the secondary key", load: { key: SECONDARY_KEY }, oursAlone: true },
  { what: "half of them repeated", load: { duplicates: 0.5 } },
  { what: "half of them forged", load: { forged: 0.5 } },
  { what: "bodies of 20 kB", load: { bodyBytes: 20_000 } },
];

export async function measureIngest(options: {
  readonly rounds: number;
  /** Deliveries a round. */
  readonly count: number;
  /** Deliveries for each load at which latency is looked at. */
  readonly latencyCount: number;
  readonly say: (line: string) => void;
}): Promise<Figure[]> {
  const { rounds, count, latencyCount, say } = options;
  const contenders: Contender[] = [];
  const figures: Figure[] = [];
  try {
    for (const name of ["limit", "ours", "usual"] as const) contenders.push(await startContender(name));
    const [limit, ours] = contenders as [Contender, Contender, Contender];

    /** In turns, whoever begins changing. */
    async function inTurns(who: readonly Contender[], load: Load): Promise<Map<string, Cost[]>> {
      const costs = new Map<string, Cost[]>(who.map(({ name }) => [name, []]));
      for (let round = 0; round < rounds; round++) {
        for (const one of round % 2 === 0 ? who : who.toReversed()) costs.get(one.name)?.push(await costOf(one, load));
      }
      return costs;
    }
    const valuesOf = (costs: Map<string, Cost[]>, name: string, of: (cost: Cost) => number) =>
      (costs.get(name) ?? []).map(of);

    say("ingest: letting the compilers see it …");
    const plain = { count, connections: CONNECTIONS };
    for (const one of contenders) await costOf(one, plain);

    say(`ingest: ${count} deliveries each, ${CONNECTIONS} connections, ${rounds} rounds …`);
    const costs = await inTurns(contenders, plain);
    const cpu = (name: string) => ({ name, values: valuesOf(costs, name, ({ cpuUs }) => cpuUs) });
    const capacity = (name: string) => ({ name, values: valuesOf(costs, name, ({ perSecond }) => perSecond) });
    const redisCpu = (name: string) => ({ name, values: valuesOf(costs, name, ({ redisUs }) => redisUs) });
    const what = "CPU per delivery";
    const mine = cpu("ours").values;
    figures.push(figure({ part: PART, what, unit: "µs", atMost: 1.4 }, mine, cpu("limit")));
    figures.push(figure({ part: PART, what, unit: "µs", atMost: 0.6 }, mine, cpu("usual")));
    const ofRedis = { part: PART, what: "CPU of Redis per delivery", unit: "µs" };
    figures.push(figure(ofRedis, redisCpu("ours").values, redisCpu("limit")));
    const taken = { part: PART, what: "taken on one core", unit: "/s" };
    for (const name of ["limit", "usual"]) figures.push(figure(taken, capacity("ours").values, capacity(name)));

    for (const { what, load, oursAlone = false } of VARIANTS) {
      say(`ingest: ${what} …`);
      const who = oursAlone ? [ours] : [limit, ours];
      const variant = await inTurns(who, { ...plain, ...load });
      const cpuIn = (name: string) => valuesOf(variant, name, ({ cpuUs }) => cpuUs);
      const against = oursAlone
        ? { name: "ours, primary key", values: mine }
        : { name: "limit", values: cpuIn("limit") };
      figures.push(figure({ part: PART, what: `CPU per delivery, ${what}`, unit: "µs" }, cpuIn("ours"), against));
    }

    for (const share of [0.2, 0.5, 0.8]) {
      say(`ingest: answers at ${share * 100} % of what each can do …`);
      const byName = new Map<string, Cost[]>();
      for (let round = 0; round < rounds; round++) {
        for (const one of round % 2 === 0 ? [limit, ours] : [ours, limit]) {
          const perSecond = median(capacity(one.name).values) * share;
          const cost = await costOf(one, { count: latencyCount, connections: 2 * CONNECTIONS, perSecond });
          byName.set(one.name, [...(byName.get(one.name) ?? []), cost]);
        }
      }
      for (const percentile of ["p50", "p99", "p999"] as const) {
        const values = (name: string) => valuesOf(byName, name, ({ ms }) => ms[percentile]);
        const about = { part: PART, what: `${NAMES[percentile]} at ${share * 100} % load`, unit: "ms" };
        const bound = percentile === "p99" && share === 0.5 ? { atMost: 3 } : {};
        figures.push(figure({ ...about, ...bound }, values("ours"), { name: "limit", values: values("limit") }));
      }
    }
    return figures;
  } finally {
    for (const one of contenders) await one.stop();
  }
}

const NAMES = { p50: "p50", p99: "p99", p999: "p99.9" } as const;

/** Memory of an ingest for connections that are open and have delivered once. */
export async function measureConnections(say: (line: string) => void): Promise<Figure[]> {
  say("ingest: a thousand open connections …");
  const ours = await startContender("ours");
  try {
    await costOf(ours, { count: 2_000, connections: CONNECTIONS });
    const before = residentOf(ours.server.pid);
    let most = before;
    const connections = 1_000;
    const looking = setInterval(() => {
      most = Math.max(most, residentOf(ours.server.pid));
    }, 20);
    await costOf(ours, { count: 2 * connections, connections });
    clearInterval(looking);
    const about = { part: PART, what: "memory for 1,000 open connections, all delivering", unit: "MB" };
    return [figure(about, [(most - before) / 2 ** 20])];
  } finally {
    await ours.stop();
  }
}
