import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { checkDeployment } from "@calendly-worker/core/redis/deployment";
import { createShards, deploymentKey } from "@calendly-worker/core/redis/keys";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedisNode } from "../support/redis-node.ts";
import { until } from "../support/until.ts";

// Commands beside a Redis that answers and takes no writes. One alone, whatever the other tests have.

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  // With "always" it ends where it cannot write its file.
  server = await startRedisNode({ appendfsync: "everysec" });
  redis = await connectRedis(server.url);
  await checkDeployment(redis, createShards(1));
  await openFingerprints(redis);
});

afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

const DEAD_LETTER = "{calendly:0}:deliveries:gone";

async function putDeadLetter(): Promise<void> {
  const job = { name: "invitee.created", data: "{}", opts: "{}", timestamp: "1", delay: "0", priority: "0", atm: "20" };
  await redis.hset(DEAD_LETTER, { ...job, failedReason: "in vain", finishedOn: "1" });
  await redis.zadd("{calendly:0}:deliveries:failed", 1, "gone");
}

const run = (args: readonly string[], url = server.url) =>
  runCommand(args, { REDIS_URL: url, CALENDLY_API_TOKEN: "", CALENDLY_WEBHOOK_SIGNING_KEY: "no-secret-of-anybodys" });

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly advice?: string;
}

const examine = async (url?: string) => JSON.parse((await run(["doctor", "--json"], url)).stdout) as Finding[];

interface NoWrites {
  readonly begin: () => Promise<unknown>;
  readonly end: () => Promise<unknown>;
  readonly why: string;
  readonly advice: RegExp;
  /** What only deletes is taken from a full one. */
  readonly takesDeletions: boolean;
}

function readsAndSaysWhy({ begin, end, why, advice, takesDeletions }: NoWrites): () => Promise<void> {
  return async () => {
    await putDeadLetter();
    await begin();
    try {
      await until("it takes no writes", () =>
        redis.set("probe", "1").then(
          () => false,
          () => true,
        ),
      );
      expect(await run(["queue", "status"])).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^deliveries +0 +0 +0 +1$/m),
      });
      expect(await run(["queue", "failed"])).toMatchObject({ status: 0, stdout: expect.stringContaining("in vain") });
      expect(await run(["outcomes", "groups"])).toMatchObject({ status: 0, stdout: "There is no group.\n" });
      const refused = {
        status: 1,
        stderr: expect.stringMatching(new RegExp(`^Redis takes no writes: ${why} \\(.*\\)\\. .*${advice.source}.*\n$`)),
      };
      expect(await run(["queue", "pause"])).toMatchObject(refused);
      const dropped = { status: 0, stdout: "1 jobs are dropped.\n" };
      expect(await run(["queue", "drop", "gone"])).toMatchObject(takesDeletions ? dropped : refused);
      expect((await examine()).map(({ check }) => check)).toContain("workers");
    } finally {
      await end();
      await until("it takes writes again", () =>
        redis.set("probe", "1").then(
          () => true,
          () => false,
        ),
      );
    }
  };
}

test(
  "beside a Redis that is full, what reads or deletes works, and what writes says why it cannot",
  readsAndSaysWhy({
    begin: () => redis.config("SET", "maxmemory", "1"),
    end: () => redis.config("SET", "maxmemory", "0"),
    why: "its memory is used up",
    advice: /Raise its maxmemory/,
    takesDeletions: true,
  }),
);

/** Only a Redis that is a process of this machine can be kept from writing files. */
const canFillDisk = process.platform === "linux" && process.env["TEST_REDIS_SERVER"] !== "docker";

(canFillDisk ? test : test.skip)(
  `so it is beside one whose disk is full${canFillDisk ? "" : " (needs prlimit)"}`,
  readsAndSaysWhy({
    begin: () => server.fillDisk(true),
    end: () => server.fillDisk(false),
    why: "it could not write its file to disk",
    advice: /Make room on its disk/,
    takesDeletions: false,
  }),
);

test(
  "and beside a replica",
  readsAndSaysWhy({
    begin: () => redis.replicaof("127.0.0.1", 1),
    end: () => redis.replicaof("NO", "ONE"),
    why: "it is a replica",
    advice: /Point REDIS_URL at the primary/,
    takesDeletions: false,
  }),
);

test("where nobody has begun and nobody can, doctor advises what helps, and not to start Redis", async () => {
  const full = await startRedisNode({ settings: ["--maxmemory", "1"] });
  const findings = await examine(full.url).finally(() => full.stop());
  expect(findings.at(-1)).toEqual({
    check: "redis",
    status: "fault",
    message: expect.stringMatching(/^OOM /),
    advice: expect.stringMatching(/^Raise its maxmemory/),
  });
});

test("of many who give keys their names first at once, all give them the same", async () => {
  await redis.hdel(deploymentKey, "fingerprint_key");
  const all = await Promise.all(Array.from({ length: 10 }, () => openFingerprints(redis)));
  all.push(await openFingerprints(redis));
  expect(new Set(all.map((fingerprintOf) => fingerprintOf("no-secret-of-anybodys"))).size).toBe(1);
});
