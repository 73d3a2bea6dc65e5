import { readRedisUrl } from "@calendly-worker/core/config/redis-url";
import { createLifecycle, type Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { connectSimulator, type SimulatorClient } from "../simulator/control-client.ts";
import { DEMO_TOKEN } from "../simulator/simulator.ts";
import { type AppProcess, startNode } from "../support/app-process.ts";
import { assertEmpty, connectRedis, removeOurKeys, silent } from "../support/connect-redis.ts";
import { startRedis } from "../support/redis-server.ts";
import { type OutcomeLog, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const OPS_API_TOKEN = "demo-ops-token-not-a-secret";
export const SIGNING_KEY = "demo-signing-key-not-a-secret";

/** Everything that the demo runs on, as real processes. */
export interface Installation {
  readonly simulator: SimulatorClient;
  readonly webhookUrl: string;
  readonly outcomes: OutcomeLog;
  /** What one can look at, with what it is. */
  readonly addresses: readonly { readonly what: string; readonly how: string }[];
  /** Deliveries that the worker is done with. */
  jobsDone(): number;
  /** The last lines of each app's log. */
  lastLines(): string;
  stop(): Promise<void>;
}

const SIMULATOR = new URL("../simulator/main.ts", import.meta.url).pathname;

/** Starts all of it; where something fails on the way, what was started is stopped again. */
export async function startInstallation(): Promise<Installation> {
  const lifecycle = createLifecycle(silent);
  const stop = () => lifecycle.close("the demo is over");
  try {
    return { ...(await start(lifecycle)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(lifecycle: Lifecycle): Promise<Omit<Installation, "stop">> {
  const apps: Record<string, AppProcess> = {};
  const own = <A extends AppProcess>(name: string, app: A): A => {
    apps[name] = app;
    return lifecycle.own(name, app, () => app.end());
  };

  const redisUrl = await provideRedis(lifecycle);
  const redis = lifecycle.own("connection", await connectRedis(redisUrl), disconnect);
  const simulator = own("simulator", startNode([SIMULATOR, "--port", "0"], {}));
  const ingest = own("ingest", await startIngest(redisUrl, { CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY }));
  const [, simulatorUrl = ""] = await until("the simulator listens", () =>
    /listening on (\S+)/.exec(simulator.output()),
  );
  const worker = own(
    "worker",
    startWorker(redisUrl, { CALENDLY_API_BASE_URL: simulatorUrl, CALENDLY_API_TOKEN: DEMO_TOKEN, OPS_API_TOKEN }),
  );
  const { url: workerUrl } = await worker.untilLogged("listening");
  await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
  const client = connectSimulator(simulatorUrl);
  await client.showOutcomesOf({ url: String(workerUrl), token: OPS_API_TOKEN });
  await client.subscribe({ url: ingest.webhookUrl, signingKey: SIGNING_KEY });

  return {
    simulator: client,
    webhookUrl: ingest.webhookUrl,
    outcomes: await openOutcomeLog(redis),
    addresses: [
      {
        what: "Calendly, simulated: book, move and cancel by hand, in a browser",
        how: `${simulatorUrl}/_simulator/page`,
      },
      { what: `the overview, in a browser: any user name, password ${OPS_API_TOKEN}`, how: `${String(workerUrl)}/ops` },
      { what: "what the simulator can do", how: `curl ${simulatorUrl}/_simulator` },
      {
        what: "book a meeting",
        how: `curl ${simulatorUrl}/_simulator/book -H 'content-type: application/json' -d '{"eventType":"intro","start":"2030-01-15T15:00:00Z","name":"You","email":"you@example.org"}'`,
      },
      { what: "ingest, ready?", how: `curl ${ingest.baseUrl}/readyz` },
      { what: "worker, ready?", how: `curl ${String(workerUrl)}/readyz` },
      { what: "outcomes", how: howToRead(redisUrl) },
    ],
    jobsDone: () => worker.logs.filter((line) => line.msg === "job ended" && line["queue"] === "deliveries").length,
    lastLines: () =>
      Object.entries(apps)
        .map(([name, app]) => `--- ${name}\n${app.output().split("\n").slice(-15).join("\n")}`)
        .join("\n"),
  };
}

/** Of several servers the client must know more than a port, and the address may hold a password. */
function howToRead(redisUrl: string): string {
  if (readRedisUrl(redisUrl)?.kind !== "single") return "pnpm calendly outcomes tail --json, with this REDIS_URL";
  return `redis-cli -p ${new URL(redisUrl).port || 6379} XRANGE '{calendly:0}:outcomes' - +`;
}

/** The one that TEST_REDIS_URL names, if it is empty; else a private one. */
async function provideRedis(lifecycle: Lifecycle): Promise<string> {
  const given = process.env["TEST_REDIS_URL"];
  if (given) {
    await assertEmpty(given);
    return lifecycle.own("keys", given, removeOurKeys);
  }
  return lifecycle.own("redis", await startRedis(), (server) => server.stop()).url;
}
