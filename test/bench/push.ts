import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createApiClient } from "../support/api-client.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { anOutcome, append } from "../support/outcome-stream.ts";
import { startRedis } from "../support/redis-server.ts";
import { startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

// How long an outcome takes from its publication to a healthy destination: alone, and with nine sick ones beside it. Both
// in one run, in turns, so that the ratio says something on any machine.
//
//   pnpm bench:push [--outcomes 500] [--rounds 3]

const argument = (name: string, fallback: number) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
const OUTCOMES = argument("outcomes", 500);
const ROUNDS = argument("rounds", 3);
/** One after the other at this pace: a day's bookings of a large organization within minutes. */
const PAUSE_MS = 10;
const OPS = "ops-token-of-the-bench";
const shards = createShards(1);

const arrivals = new Map<string, number>();
const receiver = createServer(async (req, res) => {
  await text(req);
  arrivals.set(String(req.headers["webhook-id"]), performance.now());
  res.writeHead(204).end();
});
receiver.listen(0, "127.0.0.1");
await once(receiver, "listening");
const healthy = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;

const redisServer = await startRedis({ appendfsync: process.argv.includes("--always") ? "always" : "everysec" });
const redis = await connectRedis(redisServer.url);
const worker = startWorker(redisServer.url, {
  LOG_LEVEL: "info",
  OPS_API_TOKEN: OPS,
  CALENDLY_DESTINATION_ALLOW: "127.0.0.0/8",
});
const nurse = fork(new URL("./sick-destinations.ts", import.meta.url), {
  execArgv: ["--disable-warning=ExperimentalWarning"],
});
try {
  const [sick] = (await once(nurse, "message")) as [string[]];
  const { url } = await worker.untilLogged("listening");
  await worker.untilLogged("taking jobs");
  const api = createApiClient(String(url), OPS);
  await api("POST", "/api/destinations", { url: healthy });

  await measure("warm", 50);
  const alone: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    alone.push(...(await measure(`alone-${round}`)));
    const ids = [];
    for (const target of sick) ids.push((await api("POST", "/api/destinations", { url: target })).body.id);
    await measure(`warm-${round}`, 50);
    beside.push(...(await measure(`beside-${round}`)));
    for (const id of ids) await api("DELETE", `/api/destinations/${id}`);
    await pause(1_500);
  }
  const row = (what: string, all: readonly number[]) =>
    `| ${what} | ${quantile(all, 0.5).toFixed(1)} | ${quantile(all, 0.99).toFixed(1)} | ${all.length} |`;
  const ratio = (q: number) => (quantile(beside, q) / quantile(alone, q)).toFixed(2);
  process.stdout.write(
    [
      "| to a healthy destination | p50, ms | p99, ms | outcomes |",
      "|---|---|---|---|",
      row("alone", alone),
      row("with nine sick ones beside it", beside),
      `| ratio | ${ratio(0.5)} | ${ratio(0.99)} | |`,
      "",
    ].join("\n"),
  );
} finally {
  receiver.closeAllConnections();
  receiver.close();
  nurse.kill();
  await worker.end();
  disconnect(redis);
  await redisServer.stop();
}

/** Milliseconds from publication to arrival, of each outcome. */
async function measure(name: string, count = OUTCOMES): Promise<number[]> {
  const published = new Map<string, number>();
  for (let index = 0; index < count; index++) {
    const outcome = anOutcome(`${name}-${index}`);
    published.set(outcome.id, performance.now());
    await append(redis, shards, [outcome]);
    await pause(PAUSE_MS);
  }
  await until("all have arrived", () => [...published.keys()].every((id) => arrivals.has(id)), { deadlineMs: 60_000 });
  return [...published].map(([id, at]) => (arrivals.get(id) ?? 0) - at);
}

function quantile(all: readonly number[], q: number): number {
  const sorted = all.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(q * sorted.length), sorted.length - 1)] ?? Number.NaN;
}
