import { createLifecycle, type Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { type Simulator, type SimulatorOptions, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess } from "./app-process.ts";
import { connectRedis, silent } from "./connect-redis.ts";
import { type RedisServer, startRedis } from "./redis-server.ts";

/** A Calendly and a Redis of one test's own. */
export interface Stage {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly simulator: Simulator;
  /** What is put here is killed in the end, before those go away. */
  readonly running: AppProcess[];
  /** Closes what else is opened. */
  readonly lifecycle: Lifecycle;
}

/**
 * Gives tests a stage each, with what `begin` makes of it, and closes it whatever becomes of the test: no beforeEach and no
 * afterEach surround those that run side by side.
 */
export function stagedBy<Begun>(calendly: SimulatorOptions, begin: (stage: Stage) => Begun | Promise<Begun>) {
  return <Row extends readonly unknown[]>(play: (begun: Begun, ...row: Row) => Promise<void>) =>
    async (...row: Row): Promise<void> => {
      const lifecycle = createLifecycle(silent);
      try {
        await play(await begin(await open(lifecycle, calendly)), ...row);
      } finally {
        await lifecycle.close("the test is over");
      }
    };
}

async function open(lifecycle: Lifecycle, calendly: SimulatorOptions): Promise<Stage> {
  const server = lifecycle.own("redis", await startRedis(), (owned) => owned.stop());
  const redis = lifecycle.own("connection", await connectRedis(server.url), disconnect);
  const simulator = lifecycle.own("simulator", await startSimulator(calendly), (owned) => owned.close());
  const running: AppProcess[] = [];
  lifecycle.own("apps", running, (owned) => Promise.all(owned.map((app) => app.end("SIGKILL"))));
  return { server, redis, simulator, running, lifecycle };
}
