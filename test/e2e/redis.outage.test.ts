import { disconnect } from "@calendly-worker/core/redis/connect";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type AppProcess, startApp } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { testWhere } from "../support/limits.ts";
import { startRedisNode } from "../support/redis-node.ts";
import { freePort, type RedisOptions, type RedisServer, startRedis } from "../support/redis-server.ts";
import {
  type Ingest,
  openOutcomeLog,
  SHORT_LOCKS,
  scrape,
  startIngest,
  startStack,
  startWorker,
} from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { callEach, emptyRedis, keysLike } from "../support/whole-redis.ts";

/** An ingest's settings, where `startIngest` does not wait for it to listen. */
const ON_LOOPBACK = {
  CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
  INGEST_HOST: "127.0.0.1",
  INGEST_METRICS_PORT: "0",
};

const cleanUps: (() => unknown)[] = [];
const later = <T>(resource: T, cleanUp: (resource: T) => unknown): T => {
  cleanUps.push(() => cleanUp(resource));
  return resource;
};
const own = <A extends AppProcess>(app: A): A => later(app, (owned) => owned.end("SIGKILL"));

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const startServer = async (...options: Parameters<typeof startRedis>) =>
  later(await startRedis(...options), (server) => server.stop());

/** Sends it again and again, as Calendly does, until it is answered 200; at most five seconds. */
const untilAnswered = (url: string, body: string) =>
  until(
    "the delivery is answered 200",
    async () => {
      const answer = await deliver(url, body);
      return answer.status === 200 ? answer : undefined;
    },
    { deadlineMs: 5_000, everyMs: 100 },
  );

/** The first deliveries that an ingest is sent while Redis is away: each is answered in time, as it tells itself. */
async function expectUnavailable(ingest: Ingest, ...bodies: string[]): Promise<void> {
  const answers = await Promise.all(bodies.map((body) => deliver(ingest.webhookUrl, body)));
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 503, body: { error: { code: "queue_unavailable" } } });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  const told = () => ingest.logs.filter(({ msg, result }) => msg === "delivery" && result === "unavailable");
  await until("it tells of each", () => told().length === bodies.length);
  // A second and a half, and what the machine has to do besides.
  for (const { ms } of told()) expect(ms).toBeLessThan(4_000);
}

/** While it is asked whether it is ready, as an orchestrator asks: of a cluster's node it finds out when it needs it. */
const untilSaidAway = (ingest: Ingest, deadlineMs = 15_000) =>
  until(
    "it says that Redis is away",
    async () => {
      await fetch(`${ingest.baseUrl}/readyz`);
      return ingest.logs.some(({ msg }) => msg === "redis is not reachable, trying again");
    },
    { deadlineMs, everyMs: 100 },
  );

async function expectProbes(baseUrl: string, status: number): Promise<void> {
  for (const path of ["/readyz", "/api/health/calendly", "/api/webhooks/calendly"]) {
    expect([path, (await fetch(`${baseUrl}${path}`)).status]).toEqual([path, status]);
  }
  expect((await fetch(`${baseUrl}/livez`)).status).toBe(200);
}

async function jobCount(server: RedisServer): Promise<number> {
  const redis = await connectRedis(server.url);
  const keys = await keysLike(redis, "{calendly:0}:deliveries:*");
  disconnect(redis);
  return keys.filter((key) => /:[0-9a-f]{8}-[0-9a-f-]{27}$/.test(key)).length;
}

describe("while Redis is away", () => {
  test("killed: deliveries are answered 503 at once, and 200 soon after it is back", async () => {
    const server = await startServer();
    const ingest = own(await startIngest(server.url));
    await ingest.untilLogged("ready for deliveries");
    await server.kill();
    await untilSaidAway(ingest);

    const body = createdBody(newInvitee());
    await expectUnavailable(ingest, body);
    await expectProbes(ingest.baseUrl, 503);

    await server.restart();
    expect(await untilAnswered(ingest.webhookUrl, body)).toMatchObject({ body: { status: "accepted" } });
    await expectProbes(ingest.baseUrl, 200);
  });

  test("frozen: many deliveries at once are all answered 503 in time, and none is counted twice", async () => {
    const server = await startServer();
    const ingest = own(await startIngest(server.url));
    await ingest.untilLogged("ready for deliveries");
    await server.freeze();

    const bodies = Array.from({ length: 30 }, () => createdBody(newInvitee()));
    await expectUnavailable(ingest, ...bodies);
    await expectProbes(ingest.baseUrl, 503);

    await server.thaw();
    // Whether the first try has landed all the same is unknown; the second one meets it.
    for (const body of bodies) await untilAnswered(ingest.webhookUrl, body);
    expect(await jobCount(server)).toBe(bodies.length);
  });

  test("frozen for so long that connections are given up: it recovers all the same", async () => {
    const server = await startServer();
    const ingest = own(await startIngest(server.url));
    await ingest.untilLogged("ready for deliveries");
    await server.freeze();
    const body = createdBody(newInvitee());
    await expectUnavailable(ingest, body);
    await untilSaidAway(ingest, 20_000);
    await server.thaw();
    await untilAnswered(ingest.webhookUrl, body);
    expect(await jobCount(server)).toBe(1);
  });

  test("from the start: the ingest listens, says so, and takes deliveries once Redis is there", async () => {
    const server = await startServer();
    await server.kill();
    const ingest = own(await startIngest(server.url));
    const worker = own(startWorker(server.url));
    await untilSaidAway(ingest);
    const invitee = newInvitee();
    await expectUnavailable(ingest, createdBody(invitee));
    await expectProbes(ingest.baseUrl, 503);

    await server.restart();
    await untilAnswered(ingest.webhookUrl, createdBody(invitee));
    await worker.untilLogged("published");
  });

  testWhere(
    "a proxy",
    "gone without a word, its connections open: both apps give them up and work on new ones",
    async () => {
      const server = await startServer();
      const proxy = later(await startTcpProxy(server.port), (owned) => owned.close());
      const stack = await startStack(`redis://127.0.0.1:${proxy.port}`, SHORT_LOCKS);
      own(stack.ingest);
      own(stack.worker);
      later(stack.redis, disconnect);
      const outcomes = await openOutcomeLog(later(await connectRedis(server.url), disconnect));
      proxy.swallow();
      const invitee = newInvitee();
      await expectUnavailable(stack.ingest, createdBody(invitee));
      await stack.ingest.untilLogged("redis is not reachable, trying again", 20_000);
      await untilAnswered(stack.ingest.webhookUrl, createdBody(invitee));
      await outcomes.untilThere([`${invitee.id}.confirmed`], 40_000);
    },
  );

  test("both apps stop soon when told to, as nothing is in flight", async () => {
    const server = await startServer();
    const stack = await startStack(server.url);
    own(stack.ingest);
    own(stack.worker);
    // What is done at the start is done.
    await until("the first maintenance is over", () => {
      const ended = stack.worker.logs.filter((line) => line.msg === "job ended" && line["queue"] === "maintenance");
      return ended.length === 4;
    });
    disconnect(stack.redis);
    await server.kill();
    const from = performance.now();
    await Promise.all([stack.ingest.end("SIGTERM"), stack.worker.end("SIGTERM")]);
    expect(performance.now() - from).toBeLessThan(8_000);
    expect(await stack.ingest.exited).toEqual({ code: 0, signal: null });
    expect(stack.worker.output()).not.toContain("jobs did not finish in time");
  });
});

describe("what was acknowledged before Redis was killed under load", () => {
  const deliverUntilKilled = async (server: RedisServer) => {
    const stack = await startStack(server.url, SHORT_LOCKS);
    own(stack.ingest);
    own(stack.worker);
    later(stack.redis, disconnect);
    const acknowledged: { id: string; at: number }[] = [];
    const missed: string[] = [];
    let killed = false;
    const sender = async () => {
      while (!killed) {
        const invitee = newInvitee();
        const answer = await deliver(stack.ingest.webhookUrl, createdBody(invitee));
        if (answer.status === 200) acknowledged.push({ id: invitee.id, at: performance.now() });
        else missed.push(createdBody(invitee));
      }
    };
    const senders = Array.from({ length: 8 }, sender);
    const isLongEnough = () => performance.now() - (acknowledged[0]?.at ?? Infinity) > 3_500;
    await until("enough was acknowledged, and for long enough", () => acknowledged.length > 300 && isLongEnough());
    await server.kill();
    const killedAt = performance.now();
    killed = true;
    await Promise.all(senders);
    expect(missed.length).toBeGreaterThan(0);

    await server.restart();
    const last = newInvitee();
    await untilAnswered(stack.ingest.webhookUrl, createdBody(last));
    await stack.outcomes.untilThere([`${last.id}.confirmed`]);
    return { stack, acknowledged, killedAt };
  };

  test("is all there with appendfsync always, each once", async () => {
    const server = await startServer({ appendfsync: "always" });
    const { stack, acknowledged } = await deliverUntilKilled(server);
    const events = await stack.outcomes.untilThere(acknowledged.map(({ id }) => `${id}.confirmed`));
    const ids = events.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("is lost with appendfsync everysec from the last two seconds at most, and each once", async () => {
    const server = await startServer({ appendfsync: "everysec" });
    const { stack, acknowledged, killedAt } = await deliverUntilKilled(server);
    const kept = acknowledged.filter(({ at }) => at < killedAt - 2_000).map(({ id }) => `${id}.confirmed`);
    expect(kept.length).toBeGreaterThan(50);
    await until("no job is left", async () => {
      const [waiting, active] = await Promise.all([
        stack.redis.llen("{calendly:0}:deliveries:wait"),
        stack.redis.llen("{calendly:0}:deliveries:active"),
      ]);
      return waiting + active === 0;
    });
    const ids = (await stack.outcomes.untilThere(kept)).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const there = new Set(ids);
    const lost = acknowledged.filter(({ id }) => !there.has(`${id}.confirmed`)).length;
    process.stdout.write(`everysec, Redis killed: ${lost} of ${acknowledged.length} acknowledged deliveries lost\n`);
  });
});

describe("a Redis that would lose deliveries", () => {
  const variables = { ...ON_LOOPBACK, INGEST_PORT: "0" };

  test("is refused with what is wrong and how to mend it, by both apps", async () => {
    const server = await startServer({ settings: ["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"] });
    for (const app of [
      own(startApp("ingest", { ...variables, REDIS_URL: server.url })),
      own(startWorker(server.url)),
    ]) {
      expect(await app.exited).toEqual({ code: 78, signal: null });
      expect(app.output()).toContain("maxmemory-policy is allkeys-lru");
      expect(app.output()).toContain("REDIS_ALLOW_UNSAFE=eviction");
      expect(app.output()).toContain("CONFIG SET appendonly yes");
    }
  });

  test("is accepted where its faults are allowed by name, and only then", async () => {
    const server = await startServer({ settings: ["--maxmemory-policy", "allkeys-lru", "--appendonly", "no"] });
    const some = own(startApp("ingest", { ...variables, REDIS_URL: server.url, REDIS_ALLOW_UNSAFE: "eviction" }));
    expect((await some.exited).code).toBe(78);
    const all = own(
      startApp("ingest", { ...variables, REDIS_URL: server.url, REDIS_ALLOW_UNSAFE: "eviction, persistence" }),
    );
    await all.untilLogged("ready for deliveries");
  });

  /** Until what the alert CalendlyRedisUnsafe looks at is this, and nothing else although Redis could be asked. */
  const untilTold = (url: unknown, expected: string) =>
    until(`it is told as ${expected}`, async () => {
      const text = await scrape(url);
      const told = [...text.matchAll(/^calendly_redis_((?:fit|persistent|primary) \d)$/gm)].map(([, one]) => one);
      return /^calendly_redis_clients /m.test(text) && told.join() === expected;
    });

  test("is told as fit and nothing else where its faults are waived, and as unfit once it takes no writes", async () => {
    const settings = ["--replicaof", "127.0.0.1", "1", "--replica-read-only", "no", "--appendonly", "no"];
    const replica = later(await startRedisNode({ settings }), (node) => node.stop());
    const variables = { REDIS_ALLOW_UNSAFE: "replica, persistence", OPS_API_TOKEN: "ops-token-of-the-tests" };
    const worker = own(startWorker(replica.url, variables));
    await worker.untilLogged("taking jobs");
    const { url } = await worker.untilLogged("listening");
    await untilTold(url, "fit 1");
    const headers = { authorization: `Bearer ${variables.OPS_API_TOKEN}` };
    const page = await (await fetch(`${url}/ops`, { headers })).text();
    expect(page).toContain("<dd>replica (waived), keeps no file (waived), ");
    const redis = later(await connectRedis(replica.url), disconnect);
    await redis.config("SET", "replica-read-only", "yes");
    await untilTold(url, "fit 0");
  });

  test("is told of as soon as it keeps no file any more where that is not waived", async () => {
    const server = await startServer();
    const worker = own(startWorker(server.url));
    await worker.untilLogged("taking jobs");
    const { url } = await worker.untilLogged("listening");
    await untilTold(url, "fit 1,persistent 1,primary 1");
    const redis = later(await connectRedis(server.url), disconnect);
    await callEach(redis, "CONFIG", "SET", "appendonly", "no");
    await untilTold(url, "fit 1,persistent 0,primary 1");
  });

  test("is waited for while it is a replica: a fail-over makes it a primary", async () => {
    const startNode = async (options: RedisOptions = {}) => later(await startRedisNode(options), (node) => node.stop());
    const primary = await startNode();
    const replica = await startNode({ settings: ["--replicaof", "127.0.0.1", String(primary.port)] });
    const ingest = own(await startIngest(replica.url));
    const line = await ingest.untilLogged("waiting for a primary");
    expect(JSON.stringify(line)).toContain("Point REDIS_URL at the primary");
    await expectProbes(ingest.baseUrl, 503);
    const redis = later(await connectRedis(replica.url), disconnect);
    await redis.replicaof("NO", "ONE");
    await ingest.untilLogged("ready for deliveries");
    await expectProbes(ingest.baseUrl, 200);
  });
});

describe("a Redis that takes no writes", () => {
  const startOwnStack = async () => {
    const server = await startServer();
    const stack = await startStack(server.url, SHORT_LOCKS);
    own(stack.ingest);
    own(stack.worker);
    later(stack.redis, disconnect);
    const { url: workerUrl } = await stack.worker.untilLogged("listening");
    return { stack, workerUrl };
  };
  const untilReady = (url: string, status: number) =>
    until(`${url} answers ${status}`, async () => (await fetch(url)).status === status);

  const rests = "both apps are not ready, the worker rests, and all is well when it does again";
  const untilItTakesThemAgain =
    ({ before, after }: Record<"before" | "after", string[]>) =>
    async () => {
      const { stack, workerUrl } = await startOwnStack();
      const waiting = newInvitee();
      const run = ([command = "", ...args]: string[]) => callEach(stack.redis, command, ...args);
      await run(["CLIENT", "NO-EVICT", "ON"]);

      await run(before);
      await stack.worker.untilLogged("redis refuses commands, trying again now and then", 20_000);
      await untilReady(`${String(workerUrl)}/readyz`, 503);
      await untilReady(`${stack.ingest.baseUrl}/readyz`, 503);
      expect((await deliver(stack.ingest.webhookUrl, createdBody(waiting))).status).toBe(503);
      const said = stack.worker.logs.filter(({ level }) => level === "warn" || level === "error");
      expect(said.length).toBeLessThan(20);

      await run(after);
      await untilReady(`${stack.ingest.baseUrl}/readyz`, 200);
      await untilAnswered(stack.ingest.webhookUrl, createdBody(waiting));
      await stack.outcomes.untilThere([`${waiting.id}.confirmed`]);
      await untilReady(`${String(workerUrl)}/readyz`, 200);
    };

  const full = { before: ["CONFIG", "SET", "maxmemory", "1"], after: ["CONFIG", "SET", "maxmemory", "0"] };
  test(`full: ${rests}`, untilItTakesThemAgain(full));

  const readOnly = { before: ["REPLICAOF", "127.0.0.1", "1"], after: ["REPLICAOF", "NO", "ONE"] };
  testWhere("REPLICAOF", `read-only after a fail-over: ${rests}`, untilItTakesThemAgain(readOnly));

  test("but was emptied is noticed, and worked with from there on", async () => {
    const { stack, workerUrl } = await startOwnStack();
    await emptyRedis(stack.redis);
    await untilReady(`${String(workerUrl)}/readyz`, 200);
    await stack.worker.untilLogged("this Redis was emptied, or is another one: what was kept is gone");
    // Two apps can find out; the schedules are there again.
    await until(
      "the schedules are back",
      async () => (await stack.redis.zcard("{calendly:0}:maintenance:repeat")) === 4,
    );
    const invitee = newInvitee();
    await untilAnswered(stack.ingest.webhookUrl, createdBody(invitee));
    await until("the outcome is there", async () => (await stack.redis.xlen("{calendly:0}:outcomes")) === 1);
  });
});

test("a changed number of shards is refused, with the number to set", async () => {
  const server = await startServer();
  const first = own(await startIngest(server.url));
  await first.untilLogged("ready for deliveries");
  const second = own(startWorker(server.url, { CALENDLY_SHARDS: "4" }));
  expect(await second.exited).toEqual({ code: 78, signal: null });
  expect(second.output()).toContain("Set CALENDLY_SHARDS=1");
});

test("four shards work as one does", async () => {
  const server = await startServer();
  const shards = { CALENDLY_SHARDS: "4" };
  const worker = own(startWorker(server.url, shards));
  const ingest = own(await startIngest(server.url, shards));
  await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
  const pairs = Array.from({ length: 20 }, () => [newInvitee(), newInvitee()] as const);
  for (const [first, second] of pairs) {
    await deliver(ingest.webhookUrl, createdBody(second, first));
    await deliver(ingest.webhookUrl, createdBody(first));
  }
  await until(
    "each booking was confirmed and moved",
    () => worker.logs.filter(({ msg }) => msg === "published").length === 40,
  );
  const subjects = worker.logs.filter(({ type }) => type === "booking.rescheduled").map(({ subject }) => subject);
  expect(subjects.toSorted()).toEqual(pairs.map(([first]) => first.id).toSorted());
});

test("a port that is taken is said so", async () => {
  const server = await startServer();
  const port = await freePort();
  const first = own(await startIngest(server.url, { INGEST_PORT: String(port) }));
  await first.untilLogged("ready for deliveries");
  const second = own(
    startApp("ingest", {
      ...ON_LOOPBACK,
      REDIS_URL: server.url,
      INGEST_PORT: String(port),
    }),
  );
  expect((await second.exited).code).toBe(1);
  expect(second.output()).toContain(`cannot listen on 127.0.0.1, port ${port}: the port is taken by another process`);
});
