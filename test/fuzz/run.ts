import { execFileSync } from "node:child_process";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards, quarantineIndexKey, queuePrefix } from "@calendly-worker/core/redis/keys";
import fc from "fast-check";
import { connectRedis } from "../support/connect-redis.ts";
import { jobCount } from "../support/job-count.ts";
import { startRedis } from "../support/redis-server.ts";
import { type Ingest, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { payloadsAreRead } from "./payloads.ts";
import { headersAreJudgedRightly } from "./signature-headers.ts";
import { fuzzWire } from "./wire.ts";

export interface FuzzReport {
  readonly headers: number;
  readonly payloads: number;
  /** Connections with up to three requests each. */
  readonly conversations: number;
  readonly genuine: number;
  /** Answers by status. */
  readonly answers: Readonly<Record<string, number>>;
  /** What the worker could not fold and did not quarantine: none, where all is well. */
  readonly dead: number;
  /** Memory of the ingest's process in MB, after a third of what it got and in the end. */
  readonly memory: readonly [early: number, late: number];
}

/** How much of the inputs goes where. */
const SHARES = { headers: 0.5, payloads: 0.3, conversations: 0.15, genuine: 0.05 };

/** Throws with the smallest input that shows a defect, and the seed to find it again with. */
export async function fuzz(
  inputs: number,
  seed: number,
  onProgress: (what: string, done: number) => void,
): Promise<FuzzReport> {
  const count = (share: keyof typeof SHARES) => Math.round(inputs * SHARES[share]);
  fc.assert(headersAreJudgedRightly, { numRuns: count("headers"), seed });
  onProgress("signature headers judged as by the other reading of the rule", count("headers"));
  fc.assert(payloadsAreRead, { numRuns: count("payloads"), seed });
  onProgress("payloads read", count("payloads"));

  const server = await startRedis({ appendfsync: "everysec" });
  const redis = await connectRedis(server.url);
  const shards = createShards(1);
  const prefix = queuePrefix(shards.first, deliveries.name);
  const ingest = await startIngest(server.url);
  const worker = startWorker(server.url, { LOG_LEVEL: "info" });
  try {
    const wire = fuzzWire(ingest);
    await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
    const rounds = 3;
    let early = 0;
    for (let round = 0; round < rounds; round++) {
      const runs = (share: "conversations" | "genuine") => Math.ceil(count(share) / rounds);
      await fc.assert(wire.strangersAreHeldOff, { numRuns: runs("conversations"), seed: seed + round });
      await fc.assert(wire.theGenuineIsTaken, { numRuns: runs("genuine"), seed: seed + round });
      onProgress("conversations with the public port", (round + 1) * runs("conversations"));
      if (round === 0) early = memoryOf(ingest);
    }
    await until("the worker is done", async () => (await jobCount(redis, shards.first, "deliveries")) === 0, {
      deadlineMs: 300_000,
      everyMs: 200,
    });
    await expectKnown(wire.signed);
    return {
      headers: count("headers"),
      payloads: count("payloads"),
      conversations: count("conversations"),
      genuine: count("genuine"),
      answers: Object.fromEntries([...wire.answers].toSorted(([a], [b]) => a - b)),
      dead: await redis.zcard(`${prefix}failed`),
      memory: [early, memoryOf(ingest)],
    };
  } finally {
    disconnect(redis);
    await Promise.all([ingest.end(), worker.end()]);
    await server.stop();
  }

  /** Nothing is kept that nobody signed. */
  async function expectKnown(signed: ReadonlySet<string>): Promise<void> {
    const quarantined = await redis.zrange(quarantineIndexKey(shards.first), 0, "-1");
    const completed = await redis.zrange(`${prefix}completed`, 0, "-1");
    const jobs = await Promise.all(completed.map((id) => redis.hget(`${prefix}${id}`, "data")));
    const identities = jobs.flatMap((data) => (data === null ? [] : [String(JSON.parse(data).identity)]));
    const stranger = [...quarantined, ...identities].find((identity) => !signed.has(identity));
    if (stranger !== undefined) throw new Error(`${stranger} was kept, and nobody signed it`);
  }
}

function memoryOf({ pid }: Ingest): number {
  const kB = execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" });
  return Math.round(Number(kB) / 1_024);
}
