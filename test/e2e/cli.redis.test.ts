import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { checkDeployment } from "@calendly-worker/core/redis/deployment";
import { createShards, deploymentKey } from "@calendly-worker/core/redis/keys";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Variables } from "../support/app-process.ts";
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

const run = (args: readonly string[], variables: Variables = {}) =>
  runCommand(args, { REDIS_URL: server.url, CALENDLY_API_TOKEN: "", ...variables });

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly advice?: string;
}

const examine = async (variables?: Variables) =>
  JSON.parse((await run(["doctor", "--json"], variables)).stdout) as Finding[];

interface NoWrites {
  readonly begin: () => Promise<unknown>;
  readonly end: () => Promise<unknown>;
  readonly why: string;
  readonly advice: RegExp;
  /** What doctor says of it. */
  readonly found: RegExp;
  /** What only deletes is taken from a full one. */
  readonly takesDeletions: boolean;
}

function readsAndSaysWhy({ begin, end, why, advice, found, takesDeletions }: NoWrites): () => Promise<void> {
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
      const findings = await examine();
      expect(findings.map(({ check }) => check)).toContain("workers");
      const ofRedis = findings.filter(({ check, status }) => check === "redis" && status !== "ok");
      expect(ofRedis).toEqual([expect.objectContaining({ status: "fault", message: expect.stringMatching(found) })]);
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
    found: /^It uses [\d.]+ MB of its maxmemory of 0\.0 MB: above 97 %/,
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
    found: /^The last write to its append-only file failed/,
    takesDeletions: false,
  }),
);

test(
  "beside a replica",
  readsAndSaysWhy({
    begin: () => redis.replicaof("127.0.0.1", 1),
    end: () => redis.replicaof("NO", "ONE"),
    why: "it is a replica",
    advice: /Point REDIS_URL at the primary/,
    found: /Its role is slave/,
    takesDeletions: false,
  }),
);

test(
  "and beside one that lacks replicas",
  readsAndSaysWhy({
    begin: () => redis.config("SET", "min-replicas-to-write", "1"),
    end: () => redis.config("SET", "min-replicas-to-write", "0"),
    why: "too few of its replicas are connected",
    advice: /Bring its replicas back/,
    found: /^It takes no writes: too few of its replicas are connected/,
    takesDeletions: false,
  }),
);

const faultsOf = (findings: readonly Finding[]) =>
  findings.filter(({ check, status }) => check === "redis" && status === "fault").map(({ message }) => message);

test("doctor names a Redis with so little memory to spare that the apps are not ready, and no other", async () => {
  await redis.setrange("large", 32_000_000, "x");
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1]);
  for (const [share, expected] of [
    [0.98, [expect.stringMatching(/^It uses 3\d\.\d MB of its maxmemory of 3\d\.\d MB/)]],
    [0.9, []],
  ] as const) {
    await redis.config("SET", "maxmemory", String(Math.round(used / share)));
    await redis.set("probe", "is taken");
    expect(faultsOf(await examine())).toEqual(expected);
  }
  await redis.config("SET", "maxmemory", "0");
  await redis.del("large");
});

test("doctor says once that a Redis keeps no file, and not at all where that is waived", async () => {
  await redis.config("SET", "appendonly", "no");
  expect(faultsOf(await examine())).toEqual([expect.stringContaining("It keeps no append-only file")]);
  expect(faultsOf(await examine({ REDIS_ALLOW_UNSAFE: "persistence" }))).toEqual([]);
  await redis.config("SET", "appendonly", "yes");
});

test("where nobody has begun and nobody can, doctor advises what helps, and not to start Redis", async () => {
  const full = await startRedisNode({ settings: ["--maxmemory", "1"] });
  const findings = await examine({ REDIS_URL: full.url }).finally(() => full.stop());
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
