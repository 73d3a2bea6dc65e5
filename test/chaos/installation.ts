import { createLifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, type Shards } from "@calendly-worker/core/redis/keys";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { Variables } from "../support/app-process.ts";
import { clockAhead } from "../support/clock-ahead.ts";
import { type Cluster, startCluster } from "../support/cluster.ts";
import { connectRedis, silent } from "../support/connect-redis.ts";
import { jobCount } from "../support/job-count.ts";
import { buildPreviousRelease } from "../support/previous-release.ts";
import { freePort, type RedisOptions, type RedisServer, startRedisNode } from "../support/redis-node.ts";
import { type Sentinels, startSentinels } from "../support/sentinels.ts";
import { SHORT_LOCKS, startIngest, startWorker, WEBHOOK_PATH } from "../support/stack.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { fillRole, type Role } from "./role.ts";

/** A whole installation of real processes, made to be hurt: a Calendly, a Redis, an ingest and two workers. */
export interface Installation {
  readonly simulator: Simulator;
  readonly server: RedisServer;
  /** Stands between the apps and Redis. */
  readonly proxy: TcpProxy;
  /** Past the proxy. */
  readonly redis: Redis;
  readonly shards: Shards;
  readonly webhookUrl: string;
  readonly ingest: Role;
  readonly workers: readonly [Role, Role];
  /** Those that make another server the primary where `server` is gone, if there are any. */
  readonly several: Sentinels | Cluster | undefined;
  /** Puts a release in the place of what runs: one process after the other, each once the one before works. */
  deploy(release: Release): Promise<void>;
  /** Lets the apps go on with a clock that is so far ahead, and Calendly's signatures too. Redis keeps its time. */
  goAhead(seconds: number): Promise<void>;
  /** Resolves when no delivery and no missing half is left to work on. */
  untilIdle(deadlineMs: number): Promise<void>;
  /** All that the apps have printed. */
  output(): string;
  close(): Promise<void>;
}

/** This tree, or that of the release before. */
export type Release = "current" | "previous";

export interface InstallationOptions {
  readonly seed: number;
  readonly redis?: RedisOptions;
  readonly variables?: Variables;
  /** What it begins with; "current" where it is not said. */
  readonly release?: Release;
  /** For every app. */
  readonly nodeOptions?: readonly string[];
  readonly apiRequestsPerMinute?: number;
  /** With a replica, and Sentinels that make it the primary when that is gone. The proxy is not used then. */
  readonly hasSentinels?: boolean;
  /** Three primaries with a replica each. `server` is that of the first of three shards; the proxy is not used then. */
  readonly isCluster?: boolean;
}

// Each process and server ends with this one; two installations may stand side by side.
process.setMaxListeners(50);

/** An hour of Calendly's schedule in fifteen seconds: the first retry comes after a quarter of a second. */
const SPEED = 240;
/** In four seconds: a fail-over takes so long that those refused before it would come again a quarter of a minute after it. */
const SPEED_OF_FAIL_OVERS = 960;
/** Nobody waits longer for an answer; Calendly's own patience makes a frozen process last for ever. */
const TIMEOUTS = { connectMs: 3_000, readMs: 4_000 };

export async function startInstallation({
  seed,
  redis: redisOptions = {},
  variables = {},
  release = "current",
  nodeOptions = [],
  apiRequestsPerMinute = 1_000_000,
  hasSentinels = false,
  isCluster = false,
}: InstallationOptions): Promise<Installation> {
  const speed = hasSentinels || isCluster ? SPEED_OF_FAIL_OVERS : SPEED;
  const lifecycle = createLifecycle(silent);
  const close = () => lifecycle.close("it was hurt enough");
  try {
    const cluster = isCluster
      ? lifecycle.own("cluster", await startCluster(redisOptions), (owned) => owned.stop())
      : undefined;
    const server =
      cluster?.primaries[0] ?? lifecycle.own("redis", await startRedisNode(redisOptions), (owned) => owned.stop());
    const proxy = lifecycle.own("proxy", await startTcpProxy(server.port), (owned) => owned.close());
    const sentinels = hasSentinels
      ? lifecycle.own("sentinels", await startSentinels(server, redisOptions), (owned) => owned.stop())
      : undefined;
    const several = cluster ?? sentinels;
    const redis = lifecycle.own("connection", await connectRedis((several ?? server).url), disconnect);
    const simulator = lifecycle.own(
      "simulator",
      await startSimulator({ seed, speed, rateLimit: apiRequestsPerMinute, timeouts: TIMEOUTS }),
      (owned) => owned.close(),
    );
    const redisUrl = several?.url ?? `redis://127.0.0.1:${proxy.port}`;
    const port = await freePort();
    const settings = {
      ...SHORT_LOCKS,
      LOG_LEVEL: "info",
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      CALENDLY_MISSING_HALF_GRACE: "1",
      ...variables,
    };
    const shards = createShards(Number(settings["CALENDLY_SHARDS" as keyof typeof settings] ?? 1));
    const startsOf = async (which: Release, environment: Variables = {}) => {
      const tree = which === "previous" ? await buildPreviousRelease() : undefined;
      const all = { ...settings, ...environment };
      return {
        face: async () => await startIngest(redisUrl, { ...all, INGEST_PORT: String(port) }, nodeOptions, tree),
        worker: async () => startWorker(redisUrl, all, nodeOptions, tree),
      };
    };
    const own = async (name: string, start: Parameters<typeof fillRole>[0]) =>
      lifecycle.own(name, await fillRole(start), (role) => role.close());
    const { face, worker } = await startsOf(release);
    const [ingest, first, second] = await Promise.all([
      own("ingest", face),
      own("first worker", worker),
      own("second worker", worker),
    ]);
    const roles = [ingest, first, second];
    await ingest.now().untilLogged("ready for deliveries");
    await Promise.all([first, second].map((role) => role.now().untilLogged("taking jobs")));

    async function replaceAll(starts: Awaited<ReturnType<typeof startsOf>>): Promise<void> {
      await first.replace(starts.worker);
      await first.now().untilLogged("taking jobs");
      await ingest.replace(starts.face);
      await ingest.now().untilLogged("ready for deliveries");
      await second.replace(starts.worker);
      await second.now().untilLogged("taking jobs");
    }

    return {
      simulator,
      server,
      proxy,
      redis,
      shards,
      webhookUrl: `http://127.0.0.1:${port}${WEBHOOK_PATH}`,
      ingest,
      workers: [first, second],
      several,
      deploy: async (next) => await replaceAll(await startsOf(next)),
      async goAhead(seconds) {
        const environment = clockAhead(seconds);
        simulator.setFaults({ signatureClockSkewMs: seconds * 1_000 });
        await replaceAll(await startsOf("current", environment));
      },
      async untilIdle(deadlineMs) {
        const isIdle = async () => {
          for (const shard of shards.all) {
            for (const queue of ["deliveries", "missing-halves"]) {
              if ((await jobCount(redis, shard, queue)) > 0) return false;
            }
          }
          return true;
        };
        await until("nothing is left to work on", isIdle, { deadlineMs, everyMs: 100 });
      },
      output: () => roles.flatMap(({ all }) => all.map((app) => app.output())).join("\n"),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
