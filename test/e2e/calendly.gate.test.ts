import type { TokenFault } from "@calendly-worker/core/calendly/errors";
import type { ApiGate, Entry, Priority } from "@calendly-worker/core/calendly/gate";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createApiGate } from "@calendly-worker/core/store/api-gate";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { emptyRedis } from "../support/whole-redis.ts";

let server: RedisServer;
let redis: Redis;
let gate: ApiGate;
let now: number;
let deaths: string[];

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  if (redis !== undefined) disconnect(redis);
  await server?.stop();
});

beforeEach(async () => {
  await emptyRedis(redis);
  now = 1_000_000;
  deaths = [];
  gate = await openGate("token-one", "token-two");
});

const openGate = async (...tokens: string[]) =>
  createApiGate({
    redis,
    fingerprintOf: await openFingerprints(redis),
    tokens,
    requestTimeoutMs: 10_000,
    now: () => now,
    onTokenDead: async ({ slot }, fault) => {
      deaths.push(`${slot} ${fault}`);
    },
  });

async function enter(priority: Priority = "live"): Promise<Extract<Entry, { kind: "go" }>> {
  const entry = await gate.enter({ priority });
  if (entry.kind !== "go") throw new Error(`expected to be let in, got ${JSON.stringify(entry)}`);
  return entry;
}

/** What Calendly answers with: so many requests left of ten, and the seconds to the window's end. */
const told = (remaining: number, seconds = 60) => ({ budget: { limit: 10, remaining, resetMs: seconds * 1_000 } });
const good = { isRefused: false, provenScopes: ["users:read"] };

async function leave(
  entry: Extract<Entry, { kind: "go" }>,
  answer: Partial<Parameters<ApiGate["leave"]>[0]>,
): Promise<void> {
  await gate.leave({ ticket: entry.ticket, token: entry.token, budget: {}, ...good, ...answer });
}

/** How many are let in now, one after the other, without an answer to any. */
async function room(priority: Priority = "live"): Promise<number> {
  for (let count = 0; ; count++) if ((await gate.enter({ priority })).kind !== "go") return count;
}

describe("the budget", () => {
  test("is not known before the first answer, and kept to from then on", async () => {
    const [first, second] = [await enter(), await enter()];
    await leave(first, told(9));
    // One that is under way may not have been counted yet.
    expect(await room()).toBe(8);
    await leave(second, told(8));
    expect(await gate.enter({ priority: "live" })).toEqual({ kind: "wait", ms: 60_000 });
  });

  test("is not counted too low when answers overtake each other", async () => {
    const entries = [await enter(), await enter(), await enter()] as const;
    const [first, second, third] = entries;
    await leave(third, told(7));
    await leave(second, told(8));
    await leave(first, told(9));
    expect(await room()).toBe(7);
  });

  test("counts what others use of it", async () => {
    await leave(await enter(), told(3));
    expect(await room()).toBe(3);
  });

  test("leaves monitors and sweeps a share, and the rest to live events", async () => {
    await leave(await enter(), told(9));
    expect(await room("sweep")).toBe(3);
    expect(await room("monitor")).toBe(0);
    expect(await room("missing_half")).toBe(5);
    expect(await room("live")).toBe(1);
  });

  test("is full again in the next window, which an answer of the last one says nothing about", async () => {
    const late = await enter();
    await leave(await enter(), told(8));
    expect(await room()).toBe(8);
    now += 60_000;
    const next = await enter();
    await leave(late, told(0, 1));
    await leave(next, told(9));
    expect(await room()).toBe(9);
    expect(await gate.enter({ priority: "live" })).toEqual({ kind: "wait", ms: 60_000 });
  });

  test("stops everybody at a 429, until Calendly's reset", async () => {
    await leave(await enter(), { ...told(0, 7), isRefused: true, provenScopes: [] });
    const other = await openGate("token-one", "token-two");
    expect(await other.enter({ priority: "live" })).toEqual({ kind: "wait", ms: 7_000 });
    now += 7_000;
    expect(await other.enter({ priority: "live" })).toMatchObject({ kind: "go" });
  });
});

describe("a token", () => {
  const die = (tokenFault: TokenFault) => ({ tokenFault, provenScopes: [] });

  test("that Calendly takes no more dies once, whatever answers were under way", async () => {
    const entries = [await enter(), await enter(), await enter()] as const;
    await leave(entries[0], die("revoked"));
    await leave(entries[1], good);
    await leave(entries[2], die("revoked"));
    expect(deaths).toEqual(["primary revoked"]);
    expect((await enter()).token.slot).toBe("secondary");
    await leave(await enter(), die("expired"));
    expect(await gate.enter({ priority: "live" })).toEqual({ kind: "no_token" });
    expect(deaths).toEqual(["primary revoked", "secondary expired"]);
  });

  test("is known by itself, not by its place, and another one in its place is new", async () => {
    await leave(await enter(), die("revoked"));
    gate = await openGate("token-two", "token-one");
    expect((await enter()).token.slot).toBe("primary");
    gate = await openGate("token-three", "token-one");
    expect((await enter()).token.slot).toBe("primary");
  });

  test("is nowhere to be read in Redis", async () => {
    await leave(await enter(), good);
    const all = JSON.stringify(await redis.hgetall("{calendly:0}:api:tokens"));
    expect(all).toContain(gate.tokens[0]?.fingerprint);
    expect(all).not.toMatch(/token-(one|two)/);
  });
});
