import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { atExit } from "./at-exit.ts";
import { connectRedis } from "./connect-redis.ts";
import {
  administratorOf,
  credentialsOf,
  FAIL_OVER_MS,
  freePort,
  type RedisOptions,
  type RedisServer,
  startRedisNode,
  tlsSettings,
} from "./redis-node.ts";
import { until } from "./until.ts";

/** Three Sentinels, and a replica that they make the primary when the first one is gone; all with TLS where that has it. */
export interface Sentinels {
  /** As REDIS_URL. */
  readonly url: string;
  /** How long the primary may be away from now on before the replica takes over. */
  failOverAfter(ms: number): Promise<void>;
  /** Of the primary, as they see it. */
  primaryPort(): Promise<number>;
  stop(): Promise<void>;
}

const NAME = "bookings";
const LOCAL = new URL("../../.local/", import.meta.url).pathname;

export async function startSentinels(primary: RedisServer, options: RedisOptions): Promise<Sentinels> {
  const program = process.env["TEST_REDIS_SERVER"] || "redis-server";
  if (program === "docker") throw new Error("Sentinels need a redis-server on the PATH");
  const settings = ["--replicaof", "127.0.0.1", String(primary.port), ...(options.settings ?? [])];
  const replica = await startRedisNode({ ...options, settings });
  const dir = join(LOCAL, `sentinels-${primary.port}`);
  mkdirSync(dir, { recursive: true });
  const ports = [await freePort(), await freePort(), await freePort()];
  const { user, certificate } = options;
  const administrator = administratorOf(user);
  const scheme = certificate === undefined ? "redis" : "rediss";
  const speaking = (port: number) =>
    certificate === undefined ? [["port", String(port)]] : tlsSettings(port, certificate);
  const children = ports.map((port) => {
    const lines = [
      ...speaking(port).map((setting) => setting.join(" ")),
      "bind 127.0.0.1",
      `sentinel monitor ${NAME} 127.0.0.1 ${primary.port} 2`,
      ...(administrator === undefined ? [] : [`sentinel auth-pass ${NAME} ${administrator.password}`]),
      `sentinel down-after-milliseconds ${NAME} ${FAIL_OVER_MS}`,
      `sentinel failover-timeout ${NAME} 3000`,
    ];
    return startSentinel(program, join(dir, `${port}.conf`), lines);
  });
  const end = () => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  };
  atExit.add(end);

  const sentinels: Redis[] = [];

  async function stop(): Promise<void> {
    for (const sentinel of sentinels) disconnect(sentinel);
    const ended = children.map((child) => (child.exitCode === null ? once(child, "exit") : undefined));
    end();
    atExit.remove(end);
    await Promise.all(ended);
    await replica.stop();
  }

  try {
    const url = `${scheme}-sentinel://${credentialsOf(user)}${ports.map((port) => `127.0.0.1:${port}`).join()}/${NAME}`;
    for (const port of ports) sentinels.push(await connectSentinel(`${scheme}://127.0.0.1:${port}`));
    await Promise.all(sentinels.map(hurry));
    await Promise.all(sentinels.map(untilComplete));
    const connection = await connectRedis(primary.url);
    await until("the replica has all", async () => /slave0:.*state=online/.test(await connection.info("replication")));
    disconnect(connection);
    return {
      url,
      async failOverAfter(ms) {
        const set = ["SET", NAME, "down-after-milliseconds", ms] as const;
        await Promise.all(sentinels.map((sentinel) => sentinel.call("SENTINEL", ...set)));
      },
      async primaryPort() {
        const [sentinel] = sentinels as [Redis];
        const [, port] = (await sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)) as [
          host: string,
          port: string,
        ];
        return Number(port);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function startSentinel(program: string, file: string, lines: readonly string[]): ChildProcess {
  writeFileSync(file, `${lines.join("\n")}\n`);
  return spawn(program, [file, "--sentinel"], { stdio: "ignore", detached: true });
}

async function connectSentinel(url: string): Promise<Redis> {
  return await until("the Sentinel answers", () => connectRedis(url).catch(() => undefined));
}

/**
 * It looks around more often than every two and ten seconds then: by that it finds the others, and makes a primary that
 * comes back a replica. How long a primary may be away stays as it is.
 */
async function hurry(sentinel: Redis): Promise<void> {
  await sentinel.call("SENTINEL", "DEBUG", "INFO-PERIOD", 500, "PUBLISH-PERIOD", 500);
}

/** It knows the replica and the two others. */
async function untilComplete(sentinel: Redis): Promise<void> {
  const isComplete = async () => /slaves=1,sentinels=3/.test(await sentinel.info("sentinel"));
  await until("the Sentinels know each other", isComplete, { deadlineMs: 30_000, everyMs: 100 });
}
