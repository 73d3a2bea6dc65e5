import type { Redis } from "@calendly-worker/core/redis/connect";
import { appMain } from "../support/app-process.ts";
import { WEBHOOK_PATH } from "../support/stack.ts";
import { pin } from "./machine.ts";
import { CORE } from "./places.ts";
import { type Server, startServer } from "./server.ts";
import { type Fsync, openStore, type Store } from "./stores.ts";

/** Somebody who takes deliveries, with a Redis of its own. */
export interface Contender {
  readonly name: "limit" | "ours" | "usual";
  readonly url: string;
  readonly server: Server;
  readonly redis: Redis;
  readonly redisUrl: string;
  /** How many deliveries wait in its Redis. */
  waiting(): Promise<number>;
  stop(): Promise<void>;
}

export const KEY = "bench-signing-key-not-a-secret";
export const SECONDARY_KEY = "bench-other-signing-key-not-a-secret";
export const WAITING = "{calendly:0}:deliveries:wait";

type Start = (redisUrl: string) => { readonly server: Server; readonly path: string; readonly list: string };

const STARTS: Readonly<Record<Contender["name"], Start>> = {
  limit: (redisUrl) => ({ server: startBaseline("limit", redisUrl), path: "/webhooks", list: "deliveries" }),
  usual: (redisUrl) => ({ server: startBaseline("usual", redisUrl), path: "/webhooks", list: "bull:deliveries:wait" }),
  ours: (redisUrl) => ({ server: startIngest(redisUrl), path: WEBHOOK_PATH, list: WAITING }),
};

export async function startContender(name: Contender["name"], appendfsync?: Fsync): Promise<Contender> {
  const store = await openStore(appendfsync);
  return await contend(name, store);
}

export async function contend(name: Contender["name"], { url: redisUrl, redis, stop }: Store): Promise<Contender> {
  const { server, path, list } = STARTS[name](redisUrl);
  const { url } = await server.untilLogged(name === "ours" ? "listening" : "ready for deliveries");
  await server.untilLogged("ready for deliveries");
  pin(server.pid, CORE.measured);
  return {
    name,
    url: `${url}${path}`,
    server,
    redis,
    redisUrl,
    waiting: () => redis.llen(list),
    async stop() {
      await server.stop();
      await stop();
    },
  };
}

function startBaseline(name: string, redisUrl: string): Server {
  const file = new URL(`./baselines/${name}.ts`, import.meta.url).pathname;
  return startServer([file], { REDIS_URL: redisUrl, SIGNING_KEY: KEY });
}

/** As it is deployed: it logs every delivery and counts it in its metrics. */
export function startIngest(redisUrl: string, variables: Readonly<Record<string, string>> = {}): Server {
  return startServer(["--enable-source-maps", appMain("ingest")], {
    REDIS_URL: redisUrl,
    INGEST_HOST: "127.0.0.1",
    INGEST_PORT: "0",
    INGEST_METRICS_PORT: "0",
    CALENDLY_WEBHOOK_SIGNING_KEY: KEY,
    CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: SECONDARY_KEY,
    ...variables,
  });
}
