import type { Redis } from "@calendly-worker/core/redis/connect";
import { appMain } from "../support/app-process.ts";
import { ASKING_NOTHING } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { cpuOf, pin } from "./machine.ts";
import { CORE } from "./places.ts";
import { type Server, startServer } from "./server.ts";
import { commandsUsOf, redisCpuOf } from "./stores.ts";

// How fast, and at what cost, a queue is worked off.

export interface Drained {
  readonly perSecond: number;
  /** CPU of the worker, and of its Redis, for a job. */
  readonly cpuUs: number;
  readonly redisUs: number;
  /** The latter by command, as Redis counts it: the time of a script is that of its commands too. */
  readonly commandsUs: ReadonlyMap<string, number>;
}

export const CONCURRENCY = 10;
/** Until then the compiler has not seen enough. */
const WARM_SHARE = 0.25;

/** As it is deployed, but that it asks Calendly for nothing by itself. */
export function startWorker(
  redisUrl: string,
  calendly: { readonly url: string; readonly token: string },
  variables: Readonly<Record<string, string>> = {},
): Server {
  return startServer(["--enable-source-maps", appMain("worker")], {
    REDIS_URL: redisUrl,
    WORKER_PORT: "0",
    WORKER_CONCURRENCY: String(CONCURRENCY),
    CALENDLY_API_BASE_URL: calendly.url,
    CALENDLY_API_TOKEN: calendly.token,
    ...ASKING_NOTHING,
    CALENDLY_PUBLISH_FROM: "1970-01-01T00:00:00Z",
    ...variables,
  });
}

export function startEmptyJobs(redisUrl: string, queue: string): Server {
  const file = new URL("./baselines/empty-job.ts", import.meta.url).pathname;
  return startServer([file], { REDIS_URL: redisUrl, CONCURRENCY: String(CONCURRENCY), QUEUE: queue });
}

/** Measures a worker that is being started until `count` jobs are done. `prefix`: of BullMQ's keys, with the queue's name. */
export async function drain(
  start: () => Server,
  { redis, prefix, count }: { readonly redis: Redis; readonly prefix: string; readonly count: number },
): Promise<{ readonly server: Server; readonly drained: Drained }> {
  const left = async () => (await redis.llen(`${prefix}:wait`)) + (await redis.llen(`${prefix}:active`));
  const before = await left();
  const server = start();
  pin(server.pid, CORE.measured);
  await server.untilLogged("taking jobs");
  const done = async () => before - (await left());
  const many = { deadlineMs: 600_000, everyMs: 5 };
  const take = async (from: number) => {
    const seen = await until(
      `${from} jobs are done`,
      async () => {
        const soFar = await done();
        return soFar >= from ? soFar : undefined;
      },
      many,
    );
    return {
      seen,
      at: performance.now(),
      cpu: cpuOf(server.pid),
      redis: await redisCpuOf(redis),
      commands: await commandsUsOf(redis),
    };
  };
  const warm = await take(Math.ceil(count * WARM_SHARE));
  const end = await take(count);
  const jobs = end.seen - warm.seen;
  const sinceWarm = [...end.commands].map(
    ([name, us]) => [name, (us - (warm.commands.get(name) ?? 0)) / jobs] as const,
  );
  return {
    server,
    drained: {
      perSecond: (jobs / (end.at - warm.at)) * 1_000,
      cpuUs: (end.cpu - warm.cpu) / jobs,
      redisUs: (end.redis - warm.redis) / jobs,
      commandsUs: new Map(sinceWarm),
    },
  };
}
