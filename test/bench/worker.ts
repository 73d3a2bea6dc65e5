import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { jobOptions } from "@calendly-worker/core/queues/producer";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards, outcomeStreamKey } from "@calendly-worker/core/redis/keys";
import { Queue } from "bullmq";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { signatureHeader } from "../support/deliveries.ts";
import { WEBHOOK_PATH } from "../support/stack.ts";
import { bodiesOf, deliveryOf, enqueueAll, factsOf } from "./bookings.ts";
import { KEY, startIngest } from "./contenders.ts";
import { CONCURRENCY, type Drained, drain, startEmptyJobs, startWorker } from "./drain.ts";
import { type Figure, figure } from "./figures.ts";
import { sendLoad } from "./load.ts";
import { CORE } from "./places.ts";
import { median } from "./stats.ts";
import { openStore } from "./stores.ts";

// What folding a delivery costs beside a job of BullMQ's that does nothing, and how long it takes to an outcome.

const PART = "worker";
const EMPTY = "empty";
const OUTCOMES = outcomeStreamKey(createShards(1).first);
const OPTIONS = { part: PART };

export async function measureWorker(options: {
  readonly rounds: number;
  /** Bookings a round: each is two facts. */
  readonly bookings: number;
  readonly probes: number;
  readonly say: (line: string) => void;
}): Promise<Figure[]> {
  const { rounds, bookings, probes, say } = options;
  const simulator = await startSimulator({ seed: 1, rateLimit: 1_000_000 });
  try {
    const drained: Drained[] = [];
    const empty: Drained[] = [];
    say(`worker: ${2 * bookings} facts, concurrency ${CONCURRENCY}, ${rounds} rounds …`);
    for (let round = 0; round < rounds; round++) {
      const both = [
        async () => drained.push(await drainFacts(simulator, bookings)),
        async () => empty.push(await drainEmpty(simulator, bookings)),
      ];
      for (const one of round % 2 === 0 ? both : both.toReversed()) await one();
    }
    say("worker: from the request to the outcome …");
    const idle = await outcomeAfter(simulator, probes);
    const job = await jobAfter(probes);
    const rate = median(drained.map(({ perSecond }) => perSecond)) / 2;
    const busy = await outcomeAfter(simulator, probes, rate);

    const against = (of: (one: Drained) => number) => ({ name: "empty job", values: empty.map(of) });
    const line = (what: string, unit: string, of: (one: Drained) => number, bound: { atLeast?: number } = {}) =>
      figure({ ...OPTIONS, what, unit, ...bound }, drained.map(of), against(of));
    const wait = (what: string, bound: { atMost?: number } = {}) => ({ ...OPTIONS, what, unit: "ms", ...bound });
    return [
      line("facts worked off", "/s", ({ perSecond }) => perSecond, { atLeast: 0.6 }),
      line("CPU per fact", "µs", ({ cpuUs }) => cpuUs),
      line("CPU of Redis per fact", "µs", ({ redisUs }) => redisUs),
      figure(wait("request to outcome when idle, p50", { atMost: 4 }), [median(idle)], {
        name: "empty job, add to processor",
        values: [median(job)],
      }),
      figure(wait("request to outcome at half of what is worked off, p50"), [median(busy)], {
        name: "ours, idle",
        values: [median(idle)],
      }),
    ];
  } finally {
    await simulator.close();
  }
}

function eventTypeOf(simulator: Simulator): string {
  const [type] = simulator.account.catalog.eventTypes;
  if (type === undefined) throw new Error("the simulated account has no event type");
  return type.uri;
}

const calendlyOf = ({ url }: Simulator) => ({ url, token: DEMO_TOKEN });

/** Throws where not every fact became one outcome. */
async function drainFacts(simulator: Simulator, bookings: number): Promise<Drained> {
  const { redis, url, stop } = await openStore();
  try {
    const facts = factsOf(bookings, eventTypeOf(simulator));
    await enqueueAll(redis, facts);
    const queue = { redis, prefix: `${createShards(1).first.tag}:${deliveries.name}`, count: facts.length };
    const { server, drained } = await drain(() => startWorker(url, calendlyOf(simulator)), queue);
    await server.stop();
    const outcomes = await redis.xlen(OUTCOMES);
    if (outcomes !== facts.length) throw new Error(`expected ${facts.length} outcomes, got ${outcomes}`);
    return drained;
  } finally {
    await stop();
  }
}

/** The same jobs, whose work is nothing. */
async function drainEmpty(simulator: Simulator, bookings: number): Promise<Drained> {
  const { redis, url, stop } = await openStore();
  try {
    const jobs = factsOf(bookings, eventTypeOf(simulator)).map((body) => ({
      name: "invitee.created",
      data: deliveryOf(body),
      opts: jobOptions(deliveries),
    }));
    const queue = new Queue(EMPTY, { connection: redis });
    for (let at = 0; at < jobs.length; at += 500) await queue.addBulk(jobs.slice(at, at + 500));
    const { server, drained } = await drain(() => startEmptyJobs(url, EMPTY), {
      redis,
      prefix: `bull:${EMPTY}`,
      count: jobs.length,
    });
    await server.stop();
    return drained;
  } finally {
    await stop();
  }
}

/** How long it takes, in ms, from one delivery after another to its outcome; `perSecond` others come meanwhile. */
async function outcomeAfter(simulator: Simulator, probes: number, perSecond?: number): Promise<number[]> {
  const store = await openStore();
  const reader = await connectRedis(store.url);
  const servers = [startIngest(store.url), startWorker(store.url, calendlyOf(simulator))];
  const [ingest, worker] = servers as [(typeof servers)[0], (typeof servers)[0]];
  const agent = new Agent({ keepAlive: true });
  try {
    const { url } = await ingest.untilLogged("listening");
    const webhookUrl = `${url}${WEBHOOK_PATH}`;
    await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
    const ms: number[] = [];
    const probing = async () => {
      for (let probe = 0; probe < probes; probe++) {
        const [body] = bodiesOf(probe, eventTypeOf(simulator));
        const id = String(/"cancel_url":"[^"]*\/([^"/]+)"/.exec(body)?.[1]);
        const last = (await reader.xrevrange(OUTCOMES, "+", "-", "COUNT", 1))[0]?.[0] ?? "0";
        const from = performance.now();
        const arrived = untilOutcomeOf(reader, id, last);
        await post(agent, webhookUrl, body);
        ms.push((await arrived) - from);
        await pause(10);
      }
    };
    const count = Math.ceil((perSecond ?? 0) * probes * 0.02);
    const load = { url: webhookUrl, key: KEY, count, connections: 64, ...(perSecond && { perSecond }) };
    await Promise.all([probing(), count > 0 ? sendLoad(load, CORE.load) : undefined]);
    // The first ones are for the compiler.
    return ms.slice(Math.floor(probes / 4));
  } finally {
    agent.destroy();
    disconnect(reader);
    for (const server of servers) await server.stop();
    await store.stop();
  }
}

/** When it was read, by `performance.now()`. */
async function untilOutcomeOf(reader: Awaited<ReturnType<typeof connectRedis>>, subject: string, after: string) {
  let from = after;
  for (;;) {
    const [stream] = (await reader.xread("BLOCK", 10_000, "STREAMS", OUTCOMES, from)) ?? [];
    if (stream === undefined) throw new Error("no outcome has come within 10 s");
    const now = performance.now();
    for (const [id, fields] of stream[1]) {
      from = id;
      if (fields.includes(subject)) return now;
    }
  }
}

async function post(agent: Agent, url: string, body: string): Promise<void> {
  const headers = {
    "content-type": "application/json",
    "calendly-webhook-signature": signatureHeader(body, KEY),
  };
  const sent = request(url, { method: "POST", agent, headers });
  sent.end(body);
  const [response] = await once(sent, "response");
  response.resume();
  await once(response, "end");
  if (response.statusCode !== 200) throw new Error(`the ingest answered ${response.statusCode}`);
}

/** How long it takes, in ms, from `add` to the processor of a worker that has nothing else to do. */
async function jobAfter(probes: number): Promise<number[]> {
  const store = await openStore();
  const worker = startEmptyJobs(store.url, EMPTY);
  try {
    await worker.untilLogged("taking jobs");
    const queue = new Queue(EMPTY, { connection: store.redis });
    for (let probe = 0; probe < probes; probe++) {
      await queue.add("probe", { ...deliveryOf(bodiesOf(probe)[0]), addedAt: String(process.hrtime.bigint()) });
      await pause(10);
    }
    const stopping = worker.untilLogged("stopped");
    process.kill(worker.pid, "SIGTERM");
    const { waitedUs } = (await stopping) as { readonly waitedUs: readonly number[] };
    if (waitedUs.length !== probes) throw new Error(`expected ${probes} jobs, got ${waitedUs.length}`);
    return waitedUs.slice(Math.floor(probes / 4)).map((us) => us / 1_000);
  } finally {
    await worker.stop();
    await store.stop();
  }
}
