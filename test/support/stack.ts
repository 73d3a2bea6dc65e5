import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import type { Happening } from "../simulator/account.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { type AppProcess, startApp, type Variables } from "./app-process.ts";
import { connectRedis } from "./connect-redis.ts";
import { deliver, SIGNING_KEY } from "./deliveries.ts";
import { until } from "./until.ts";

/** An address that refuses every connection: the API of those who ask nothing. */
const NOBODY = "http://127.0.0.1:9";

export const METRICS_TOKEN = "test-metrics-token-not-a-secret";

/** What an app tells Prometheus at that address. */
export async function scrape(baseUrl: unknown): Promise<string> {
  const response = await fetch(`${String(baseUrl)}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } });
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  return await response.text();
}

export const WEBHOOK_PATH = "/api/webhooks/calendly";

export interface Ingest extends AppProcess {
  readonly baseUrl: string;
  readonly webhookUrl: string;
}

/** An ingest on a port of its own, listening. It need not be ready yet. */
export async function startIngest(
  redisUrl: string,
  variables: Variables = {},
  nodeOptions: readonly string[] = [],
  tree?: URL,
): Promise<Ingest> {
  const settings = {
    REDIS_URL: redisUrl,
    INGEST_HOST: "127.0.0.1",
    INGEST_PORT: "0",
    INGEST_METRICS_PORT: "0",
    METRICS_TOKEN,
    CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
    ...variables,
  };
  const app = startApp("ingest", settings, nodeOptions, tree);
  const { url } = await app.untilLogged("listening").catch(async (error: unknown) => {
    await app.end("SIGKILL");
    throw error;
  });
  return { ...app, baseUrl: String(url), webhookUrl: `${url}${WEBHOOK_PATH}` };
}

/** Nothing is asked of Calendly at its time, but only where a delivery needs it. */
export const ASKING_NOTHING = {
  CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "0",
  CALENDLY_RECONCILE_NEAR_INTERVAL: "0",
  CALENDLY_RECONCILE_FAR_INTERVAL: "0",
  CALENDLY_RECONCILE_PAST_INTERVAL: "0",
};

/**
 * For workers of which one is killed or stands still: what it leaves is taken over soon. All that have worked on a Redis
 * must have them, as who looks for silent ones says to the others for how long they need not. Elsewhere locks are as long
 * as in an installation, or else a job of a worker that the machine kept waiting would be begun twice.
 */
export const SHORT_LOCKS = { WORKER_JOB_LOCK_DURATION: "1000", WORKER_STALLED_CHECK_INTERVAL: "500" };

/** A worker that asks nobody anything by itself. */
export function startWorker(
  redisUrl: string,
  variables: Variables = {},
  nodeOptions: readonly string[] = [],
  tree?: URL,
): AppProcess {
  const settings = {
    REDIS_URL: redisUrl,
    WORKER_PORT: "0",
    METRICS_TOKEN,
    LOG_LEVEL: "debug",
    CALENDLY_API_TOKEN: "test-token-not-a-secret",
    CALENDLY_API_BASE_URL: NOBODY,
    ...ASKING_NOTHING,
    // What tests tell of happened whenever it suits them.
    CALENDLY_PUBLISH_FROM: "1970-01-01T00:00:00Z",
    ...variables,
  };
  return startApp("worker", settings, nodeOptions, tree);
}

export interface OutcomeLog {
  /** All outcomes published since this log was opened, in order. */
  all(): Promise<OutcomeEvent[]>;
  /** Waits until these outcomes, by id, are there; gives all outcomes since the opening. */
  untilThere(ids: readonly string[], deadlineMs?: number): Promise<OutcomeEvent[]>;
}

/** The outcomes from now on; what was in the stream before belongs to others. */
export async function openOutcomeLog(redis: Redis): Promise<OutcomeLog> {
  const shard = createShards(1).first;
  const before = await readOutcomes(redis, shard, "0", 1_000_000);
  const start = before.at(-1)?.streamId ?? "0";
  const all = async () => (await readOutcomes(redis, shard, start, 1_000_000)).map(({ event }) => event);
  return {
    all,
    async untilThere(ids, deadlineMs = 20_000) {
      const complete = async () => {
        const events = await all();
        const there = new Set(events.map(({ id }) => id));
        return ids.every((id) => there.has(id)) ? events : undefined;
      };
      return await until(`the outcomes ${ids.slice(0, 3).join(", ")}… are there`, complete, { deadlineMs });
    },
  };
}

export interface Stack {
  readonly ingest: Ingest;
  readonly worker: AppProcess;
  readonly redis: Redis;
  readonly outcomes: OutcomeLog;
  stop(): Promise<void>;
}

/** Ingest and worker, ready, and a look at what they publish. */
export async function startStack(redisUrl: string, variables: Variables = {}): Promise<Stack> {
  const redis = await connectRedis(redisUrl);
  const outcomes = await openOutcomeLog(redis);
  const worker = startWorker(redisUrl, variables);
  const apps: AppProcess[] = [worker];
  async function stop(signal?: NodeJS.Signals): Promise<void> {
    disconnect(redis);
    await Promise.all(apps.map((app) => app.end(signal)));
  }
  try {
    const ingest = await startIngest(redisUrl, variables);
    apps.push(ingest);
    await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
    return { ingest, worker, redis, outcomes, stop: () => stop() };
  } catch (error) {
    await stop("SIGKILL");
    throw error;
  }
}

export interface StackWithCalendly extends Stack {
  readonly simulator: Simulator;
  /**
   * Delivers what happened about an invitee, a routing form or an event type: all, or those of that event. Resolves when
   * the worker has done with them.
   */
  deliver(about: { readonly uri: string }, event?: string): Promise<void>;
}

/** A stack whose worker can ask a simulated Calendly. What happens there is delivered by hand. */
export async function startStackWithCalendly(
  redisUrl: string,
  seed: number,
  variables: Variables = {},
): Promise<StackWithCalendly> {
  const simulator = await startSimulator({ seed, rateLimit: 100_000 });
  const stack = await startStack(redisUrl, {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    ...variables,
  }).catch(async (error: unknown) => {
    await simulator.close();
    throw error;
  });
  return {
    ...stack,
    simulator,
    async deliver({ uri }, event) {
      const bodies = simulator.account
        .history()
        .filter((happening) => happening.payload["uri"] === uri && (event === undefined || happening.event === event))
        .map((happening) => bodyOf(happening));
      for (const body of bodies) {
        const before = stack.worker.logs.length;
        const { status, body: answer } = await deliver(stack.ingest.webhookUrl, body);
        if (status !== 200) throw new Error(`the ingest answered ${status}`);
        // A repetition has no job of its own: there was one before.
        const from = answer.status === "duplicate" ? 0 : before;
        await until(`the job of ${answer.id} has ended`, () =>
          stack.worker.logs.slice(from).some((line) => line.msg === "job ended" && line["identity"] === answer.id),
        );
      }
    },
    async stop() {
      await stack.stop();
      await simulator.close();
    },
  };
}

/** The body of the delivery that tells what happened. */
export function bodyOf({ event, createdAt, payload }: Happening): string {
  return JSON.stringify({ event, created_at: createdAt, created_by: null, payload });
}
