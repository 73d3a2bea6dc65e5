import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { expectEveryLogRight, idsOfLogs } from "../support/account-logs.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { runCommand, startCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, type OutcomeLog, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

// The environment put back to what it was before, at each step of both rotations. Either all goes on, or what is unsafe is
// named within ten seconds and nothing is lost once the environment is right again.

const NAMED_WITHIN_MS = 10_000;
const HOUR_MS = 3_600_000;
const OPS_TOKEN = "test-ops-token-not-a-secret";
const [FIRST, SECOND] = [DEMO_TOKEN, "second-token-not-a-secret"];

const OLD: Variables = { CALENDLY_WEBHOOK_SIGNING_KEY: "old-key-not-a-secret" };
const BOTH: Variables = { ...OLD, CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "new-key-not-a-secret" };
const NEW: Variables = { CALENDLY_WEBHOOK_SIGNING_KEY: "new-key-not-a-secret" };
const PROMOTED: Variables = { ...NEW, CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "old-key-not-a-secret" };

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
let outcomes: OutcomeLog;
let ingest: Ingest;
let port: string;
let running: AppProcess[];

beforeEach(async () => {
  running = [];
  server = await startRedis();
  redis = await connectRedis(server.url);
  outcomes = await openOutcomeLog(redis);
  // A minute until Calendly repeats is a second.
  simulator = await startSimulator({ seed: 40, speed: 60, rateLimit: 100_000 });
  port = String(await freePort());
});

afterEach(async () => {
  await Promise.all(running.map((app) => app.end("SIGKILL")));
  disconnect(redis);
  await simulator.close();
  await server.stop();
});

/** Takes the place of the ingest before, on its port. Need not be ready. */
async function deployIngest(keys: Variables): Promise<void> {
  await ingest?.end();
  ingest = await startIngest(server.url, { ...keys, INGEST_PORT: port });
  running.push(ingest);
}

async function deployWorker(variables: Variables): Promise<AppProcess & { readonly healthUrl: string }> {
  const worker = startWorker(server.url, {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_WEBHOOK_BASE_URL: `http://127.0.0.1:${port}`,
    // So that every booking has the API asked.
    CALENDLY_ENABLE_CACHING: "false",
    CALENDLY_MISSING_HALF_GRACE: "0",
    OPS_API_TOKEN: OPS_TOKEN,
    ...variables,
  });
  running.push(worker);
  const { url } = await worker.untilLogged("listening");
  await worker.untilLogged("taking jobs");
  return { ...worker, healthUrl: `${String(url)}/api/health/calendly` };
}

const settings = (variables: Variables): Variables => ({
  REDIS_URL: server.url,
  CALENDLY_API_BASE_URL: simulator.url,
  CALENDLY_API_TOKEN: FIRST,
  CALENDLY_WEBHOOK_BASE_URL: `http://127.0.0.1:${port}`,
  ...variables,
});

async function doctor(variables: Variables) {
  const { status, stdout } = await runCommand(["doctor", "--json"], settings(variables));
  const findings = JSON.parse(stdout) as { check: string; status: string; message: string }[];
  return { status, faults: findings.filter((one) => one.status === "fault"), findings };
}

let hours = 0;
/** Somebody books, and is promised an outcome. */
function book() {
  hours += 1;
  const start = new Date(Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + hours * HOUR_MS).toISOString();
  const person = { name: `Guest ${hours}`, email: `guest.${hours}@acme-corp.example` };
  return simulator.account.book({ eventType: "intro", start, ...person });
}
const isTold = ({ id }: { readonly id: string }) => outcomes.untilThere([`${id}.confirmed`]);
const isReady = async () => (await fetch(`${ingest.baseUrl}/readyz`)).status === 200;
const refused = () => simulator.attempts().filter(({ status }) => status === 401).length;

/** Back to `before`: all goes on at once, and nothing is refused. */
async function goesOn(before: Variables): Promise<void> {
  await deployIngest(before);
  await ingest.untilLogged("ready for deliveries");
  const refusedBefore = refused();
  expect(await isReady()).toBe(true);
  await isTold(book());
  expect(refused()).toBe(refusedBefore);
}

/** Back to `before`: it is named. What is delivered by a key that is accepted still goes on, the rest comes later. */
async function isNamed(before: Variables, now: Variables, { goesOn: oldDelivers }: { goesOn: boolean }): Promise<void> {
  await deployIngest(before);
  const from = performance.now();
  const refusedBefore = refused();
  const line = await ingest.untilLogged("the signing key of a live subscription is not accepted", NAMED_WITHIN_MS);
  expect(line["advice"]).toContain("Restore the key that CALENDLY_WEBHOOK_SIGNING_KEY");
  expect(await isReady()).toBe(false);
  expect(performance.now() - from).toBeLessThan(NAMED_WITHIN_MS);
  if (!oldDelivers) {
    const { status, faults } = await doctor(before);
    expect(status).toBe(1);
    expect(faults).toContainEqual(expect.objectContaining({ check: "signing key" }));
  }
  const booked = book();
  if (oldDelivers) await isTold(booked);
  await until("the new key's delivery is refused", () => refused() > refusedBefore);
  await deployIngest(now);
  await ingest.untilLogged("ready for deliveries");
  expect(await isReady()).toBe(true);
  await isTold(booked);
}

/** Ends a rotation as soon as `isDue`. */
async function rotateUntil(isDue: () => boolean | Promise<boolean>): Promise<void> {
  const command = startCommand(["webhooks", "rotate"], settings(BOTH));
  try {
    await Promise.race([
      until("the step is reached", isDue, { deadlineMs: 30_000, everyMs: 2 }),
      command.ended.then(({ stderr }) => Promise.reject(new Error(`it ended before: ${stderr}`))),
    ]);
  } finally {
    command.child.kill("SIGKILL");
  }
  await command.ended;
}

test("of the signing key: each step goes on without a loss when it is put back, or says which key is lacking", async () => {
  await Promise.all([deployIngest(OLD), deployWorker({ CALENDLY_API_TOKEN: FIRST })]);
  await ingest.untilLogged("ready for deliveries");
  expect(await runCommand(["webhooks", "register"], settings(OLD))).toMatchObject({ status: 0 });
  const store = createSubscriptionStore(redis);
  const isAt = (step: string) => async () => (await store.rotation())?.step === step;
  const subscriptions = () => [...simulator.subscriptions.values()].map(({ signingKey }) => signingKey.slice(0, 3));

  // 1. The new key is accepted as the second one.
  await goesOn(BOTH);
  await goesOn(OLD);
  await goesOn(BOTH);

  // 2. The new subscription is made at Calendly, and whoever asked for it ended before the answer.
  simulator.setFaults({ apiLatencyMs: 300 });
  await rotateUntil(isAt("creating"));
  simulator.setFaults({ apiLatencyMs: 0 });
  expect(subscriptions()).toEqual(["old"]);
  simulator.subscribe(String((await store.rotation())?.newUrl), "new-key-not-a-secret");
  await deployIngest(OLD);
  await ingest.untilLogged("ready for deliveries");
  await isTold(book());
  const { findings } = await doctor(OLD);
  const warnings = findings.filter(({ check, status }) => status === "warning" && check !== "access");
  expect(warnings).toMatchObject([
    { check: "rotation" },
    // The new one is refused here, and comes again when its key is back.
    { check: "subscription", message: expect.stringContaining("has been repeating failed deliveries") },
  ]);
  await deployIngest(BOTH);
  await ingest.untilLogged("ready for deliveries");

  // 3. Both deliver. Where the environment stays put back, giving the rotation up mends it, without a restart.
  await rotateUntil(isAt("waiting"));
  await deployIngest(OLD);
  await ingest.untilLogged("ready for deliveries");
  expect(await isReady()).toBe(false);
  expect(await runCommand(["webhooks", "rotate", "--abort"], settings(OLD))).toMatchObject({ status: 0 });
  expect(await isReady()).toBe(true);
  expect(subscriptions()).toEqual(["old"]);
  await goesOn(BOTH);
  await rotateUntil(isAt("waiting"));
  await isNamed(OLD, BOTH, { goesOn: true });

  // 4. It is written down that the old one is to be deleted, and whoever wrote it ended before doing so.
  const rotation = await store.rotation();
  if (rotation === undefined) throw new Error("no rotation is under way");
  await store.keepRotation({ ...rotation, step: "deleting" });
  expect(subscriptions()).toEqual(["old", "new"]);
  await isNamed(OLD, BOTH, { goesOn: true });

  // 5. It is deleted.
  await rotateUntil(isAt("reconciling"));
  expect(subscriptions()).toEqual(["new"]);
  await isNamed(OLD, BOTH, { goesOn: false });

  // 6. The new key is the first one, and then the only one. The old one alone is as in 5; the guide's test puts it back here.
  expect(await runCommand(["webhooks", "rotate"], settings(BOTH))).toMatchObject({ status: 0 });
  await goesOn(PROMOTED);
  await goesOn(BOTH);
  await goesOn(NEW);
  await goesOn(PROMOTED);

  await simulator.settled({ timeoutMs: 180_000 });
  await outcomes.untilThere(idsOfLogs(simulator.account));
  expectEveryLogRight(simulator.account, await outcomes.all());
}, 900_000);

test("of the API token: what is delivered goes on at each step, and a token that is revoked is named", async () => {
  simulator.setToken(SECOND);
  await deployIngest(OLD);
  await ingest.untilLogged("ready for deliveries");
  simulator.subscribe(ingest.webhookUrl, String(OLD["CALENDLY_WEBHOOK_SIGNING_KEY"]));
  let worker = await deployWorker({ CALENDLY_API_TOKEN: FIRST, CALENDLY_API_TOKEN_SECONDARY: SECOND });
  const deploy = async (primary: string, secondary = "") => {
    await worker.end();
    worker = await deployWorker({ CALENDLY_API_TOKEN: primary, CALENDLY_API_TOKEN_SECONDARY: secondary });
  };
  /** A booking is told, and Calendly was asked about it with that token. */
  const asksWith = async (token: string) => {
    const before = simulator.requests().length;
    await isTold(book());
    await until(`${token} is used`, () =>
      simulator.requests(before).some((request) => request.token === token && request.status === 200),
    );
  };
  const reasons = async () => {
    const answer = await fetch(worker.healthUrl, { headers: { authorization: `Bearer ${OPS_TOKEN}` } });
    return ((await answer.json()) as { reasons: string[] }).reasons;
  };

  // 1. to 4. The second one proves itself; back to the first one alone.
  await asksWith(FIRST);
  await deploy(FIRST);
  await asksWith(FIRST);

  // 5. and 6. It is promoted, and the first one is not revoked.
  await deploy(SECOND);
  await asksWith(SECOND);
  await deploy(FIRST, SECOND);
  await asksWith(FIRST);

  // 7. The first one is revoked: with both, the second one goes on. The worker says so by itself, before it asks for anything.
  await deploy(SECOND);
  simulator.setToken(FIRST, { state: "revoked" });
  await deploy(FIRST, SECOND);
  await worker.untilLogged("calendly takes a token no more", NAMED_WITHIN_MS);
  expect(await reasons()).toEqual(["token_failed_over"]);
  await asksWith(SECOND);

  // With the revoked one alone nothing can be asked, which is said; what is delivered goes on.
  await deploy(FIRST);
  await until("it is named", async () => (await reasons()).includes("no_token_works"), { deadlineMs: NAMED_WITHIN_MS });
  const { status, faults } = await doctor(OLD);
  expect(status).toBe(1);
  expect(faults).toContainEqual(expect.objectContaining({ check: "token" }));
  const moved = book();
  await isTold(moved);
  // Only the old half of the move comes: the new one must be asked for.
  simulator.setFaults({ dropNext: 1 });
  simulator.account.reschedule(moved.id, new Date(Date.parse(moved.event.start) + 400 * HOUR_MS).toISOString());
  await simulator.settled();
  await deploy(SECOND);
  await outcomes.untilThere(idsOfLogs(simulator.account), 30_000);
  expectEveryLogRight(simulator.account, await outcomes.all());
}, 900_000);
