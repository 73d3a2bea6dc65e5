import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { liveInstances } from "@calendly-worker/core/store/instances";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN } from "../simulator/simulator.ts";
import type { Subscription } from "../simulator/subscriptions.ts";
import { expectEveryLogRight, idsOfLogs } from "../support/account-logs.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { runCommand, startCommand } from "../support/cli.ts";
import { freePort } from "../support/redis-server.ts";
import { type Ingest, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { stagedBy } from "../support/stage.ts";
import { until } from "../support/until.ts";
import { emptyRedis } from "../support/whole-redis.ts";

const [OLD_KEY, NEW_KEY] = ["old-key-not-a-secret", "new-key-not-a-secret"];
const PRIYA = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
const MINUTE_MS = 60_000;
const BOTH: Variables = { CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY, CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: NEW_KEY };
const PROMOTED: Variables = { CALENDLY_WEBHOOK_SIGNING_KEY: NEW_KEY, CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: OLD_KEY };

const on = stagedBy({ seed: 12, speed: 60, rateLimit: 100_000 }, async (stage) => {
  const { server, redis, simulator, running, lifecycle } = stage;
  const outcomes = await openOutcomeLog(redis);
  const port = String(await freePort());
  let ingest = await start({ CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY });
  const { baseUrl, webhookUrl } = ingest;

  async function start(keys: Variables): Promise<Ingest> {
    const app = await startIngest(server.url, { ...keys, INGEST_PORT: port });
    running.push(app);
    await app.untilLogged("ready for deliveries");
    return app;
  }

  /** Takes the place of the ingest on its port, as a deployment does. */
  async function redeploy(keys: Variables): Promise<Ingest> {
    await ingest.end();
    ingest = await start(keys);
    return ingest;
  }

  async function startWorkerWith(variables: Variables = {}): Promise<AppProcess> {
    const worker = startWorker(server.url, {
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      CALENDLY_WEBHOOK_BASE_URL: baseUrl,
      CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "1",
      CALENDLY_SUBSCRIPTION_AUTOHEAL: "true",
      CALENDLY_KEY_ROTATION_MONITORING: "false",
      LOG_LEVEL: "info",
      ...variables,
    });
    running.push(worker);
    await worker.untilLogged("taking jobs");
    return worker;
  }

  const settings = (variables: Variables = {}): Variables => ({
    REDIS_URL: server.url,
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    CALENDLY_WEBHOOK_BASE_URL: baseUrl,
    CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY,
    CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: NEW_KEY,
    ...variables,
  });

  let slot = 0;
  const nextStart = () => {
    slot += 1;
    return new Date(Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS + (60 + slot * 30) * MINUTE_MS).toISOString();
  };

  /** People book, move and cancel, without an end. */
  function putUnderLoad(): NodeJS.Timeout {
    let count = 0;
    const act = () => {
      count += 1;
      const person = { name: `Guest ${slot}`, email: `guest.${slot}@acme-corp.example` };
      const { id } = simulator.account.book({ eventType: "intro", start: nextStart(), ...person });
      if (count % 4 === 0) simulator.account.reschedule(id, nextStart());
      if (count % 4 === 1) simulator.account.cancel(id);
    };
    return lifecycle.own("load", setInterval(act, 60), clearInterval);
  }

  async function register(): Promise<void> {
    const made = await runCommand(["webhooks", "register"], settings({ CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "" }));
    expect(made).toMatchObject({ status: 0 });
  }

  const isReady = async () => (await fetch(`${baseUrl}/readyz`)).status === 200;
  const rotate = (...args: string[]) => runCommand(["webhooks", "rotate", ...args], settings());
  const refused = () => simulator.attempts().filter(({ status }) => status === 401);

  /** A rotation that waits for the new subscription's first delivery. */
  async function untilBothDeliver() {
    await register();
    await redeploy(BOTH);
    expect(await rotate("--timeout", "0")).toMatchObject({ status: 2 });
    const [old, made] = [...simulator.subscriptions.values()];
    if (old === undefined || made === undefined) throw new Error("there are no two subscriptions");
    return { old, made };
  }

  const namesOf = async (key: string) => [(await openFingerprints(redis))(key)];
  const namesTold = async () => (await liveInstances(redis, "ingest")).flatMap(({ signingKeys }) => signingKeys);

  return {
    ...{ server, redis, simulator, outcomes, webhookUrl, redeploy, startWorkerWith, settings, putUnderLoad },
    ...{ nextStart, register, isReady, rotate, refused, untilBothDeliver, namesOf, namesTold },
  };
});

test(
  "under load, with repetitions and retries, and ended at each of its steps, a rotation loses, doubles and refuses nothing; nor does one of the token",
  on(async (begun) => {
    const { server, redis, simulator, outcomes, webhookUrl, redeploy, startWorkerWith, settings } = begun;
    const { putUnderLoad, register, isReady, rotate, refused } = begun;
    await register();
    simulator.setToken("second-token");
    const tokens = { CALENDLY_API_TOKEN: DEMO_TOKEN, CALENDLY_API_TOKEN_SECONDARY: "second-token" };
    const worker = await startWorkerWith(tokens);
    simulator.setFaults({ duplicate: 2, apiLatencyMs: 100 });
    const load = putUnderLoad();
    await redeploy(BOTH);

    const store = createSubscriptionStore(redis);
    const asked = (method: string) =>
      simulator
        .requests()
        .some((request) => request.method === method && request.path.startsWith("/webhook_subscriptions"));
    const posted = simulator.requests().length;
    const atStep = (step: string) => async () => (await store.rotation())?.step === step;
    const killers = [
      atStep("creating"),
      () => simulator.requests(posted).some(({ method }) => method === "POST"),
      atStep("waiting"),
      atStep("deleting"),
      () => asked("DELETE"),
      atStep("reconciling"),
    ];
    for (const [index, isDue] of killers.entries()) {
      const command = startCommand(["webhooks", "rotate"], settings());
      await Promise.race([
        until(`kill ${index} is due`, isDue, { deadlineMs: 30_000, everyMs: 2 }),
        command.ended.then(({ stderr }) => Promise.reject(new Error(`it ended before kill ${index}: ${stderr}`))),
      ]);
      command.child.kill("SIGKILL");
      await command.ended;
      // Redis goes away for a moment, so that deliveries are answered 503 and come again.
      if (index === 2) {
        await server.freeze();
        await until("a delivery has failed", () => simulator.attempts().some(({ status }) => status === 503));
        await server.thaw();
      }
    }
    const done = await rotate();
    expect(done.stderr).not.toMatch(/not-a-secret/);
    expect(done).toMatchObject({ status: 0 });
    expect(done.stdout).toContain("CALENDLY_WEBHOOK_SIGNING_KEY = the value of CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY");
    expect([...simulator.subscriptions.values()]).toMatchObject([
      { url: `${webhookUrl}?g=1`, signingKey: NEW_KEY, state: "active" },
    ]);
    await redeploy(PROMOTED);
    expect(await isReady()).toBe(true);

    // The token: it dies in the middle of the work, the second one goes on, and is promoted.
    simulator.setToken(DEMO_TOKEN, { state: "revoked" });
    await until("the second one is used", () => simulator.requests().some(({ token }) => token === "second-token"));
    await worker.end();
    await startWorkerWith({ CALENDLY_API_TOKEN: "second-token", CALENDLY_WEBHOOK_SIGNING_KEY: NEW_KEY });

    clearInterval(load);
    simulator.setFaults({ duplicate: 1, apiLatencyMs: 0 });
    await simulator.settled({ timeoutMs: 180_000 });
    await outcomes.untilThere(idsOfLogs(simulator.account), 60_000);
    expectEveryLogRight(simulator.account, await outcomes.all());
    expect(refused()).toEqual([]);
    const { size } = simulator.account.invitees;
    process.stdout.write(
      `rotated under load: ${size} invitees, ${simulator.attempts().length} deliveries, lost 0, doubled 0\n`,
    );
    expect(
      simulator.attempts().some(({ body }) => (body as { status?: string } | undefined)?.status === "duplicate"),
    ).toBe(true);
  }),
  1_200_000,
);

test.concurrent(
  "each unsafe step is refused with the reason",
  on(async ({ simulator, webhookUrl, redeploy, settings, register, rotate }) => {
    expect(await rotate()).toMatchObject({ status: 78, stderr: expect.stringContaining("no active subscription") });
    await register();
    expect(await rotate()).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("do not accept the new key yet"),
    });
    const alone = settings({ CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "" });
    expect(await runCommand(["webhooks", "rotate"], alone)).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY is not set"),
    });
    const same = settings({ CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: OLD_KEY });
    expect(await runCommand(["webhooks", "rotate"], same)).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("there is nothing to rotate"),
    });
    await redeploy(BOTH);
    // Nothing is booked: it cannot be known that the new one delivers.
    const first = await rotate("--timeout", "0");
    expect(first).toMatchObject({ status: 2, stdout: expect.stringContaining("Not finished") });
    expect(first.stderr).toContain("the first verified delivery by the new subscription");
    const other = settings({ CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "yet-another-not-a-secret" });
    expect(await runCommand(["webhooks", "rotate"], other)).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("is under way"),
    });
    expect(simulator.subscriptions.size).toBe(2);
    expect(await rotate("--abort")).toMatchObject({ status: 0 });
    expect([...simulator.subscriptions.values()]).toMatchObject([{ url: webhookUrl, signingKey: OLD_KEY }]);
    expect(await rotate("--abort")).toMatchObject({ stdout: "No rotation is under way.\n" });
    simulator.subscribe(`${webhookUrl}?g=9`, OLD_KEY);
    expect(await rotate()).toMatchObject({ status: 78, stderr: expect.stringContaining("2 active subscriptions") });
  }),
  180_000,
);

const disable = (subscription: Subscription) => {
  subscription.state = "disabled";
  subscription.retryStartedAt = "2026-11-23T10:00:00.000000Z";
};
const deleteByHand = async ({ uri }: Subscription, variables: Variables) =>
  expect(await runCommand(["webhooks", "delete", uri], variables)).toMatchObject({ status: 0 });

test.concurrent.each([
  ["disabled", disable],
  ["gone", deleteByHand],
] as const)(
  "whose old subscription is %s meanwhile, a rotation is not given up, as the new one alone delivers, and goes on",
  on(async (begun, state, end) => {
    const { simulator, outcomes, webhookUrl, startWorkerWith, settings, rotate, nextStart, untilBothDeliver } = begun;
    const { old } = await untilBothDeliver();
    await end(old, settings());
    const aborted = await rotate("--abort");
    expect(aborted).toMatchObject({
      status: 78,
      stdout: "",
      stderr: expect.stringContaining(`The old subscription is ${state}: the new one alone delivers`),
    });
    const worker = await startWorkerWith();
    const booked = simulator.account.book({ eventType: "intro", start: nextStart(), ...PRIYA });
    await outcomes.untilThere([`${booked.id}.confirmed`]);
    expect(await rotate()).toMatchObject({ status: 0 });
    expect([...simulator.subscriptions.values()]).toMatchObject([
      { url: `${webhookUrl}?g=1`, signingKey: NEW_KEY, state: "active" },
    ]);
    await worker.end();
  }),
  180_000,
);

test.concurrent(
  "a rotation that has not made its subscription yet makes it without the old one",
  on(async ({ redis, simulator, webhookUrl, settings, rotate, untilBothDeliver }) => {
    const { old, made } = await untilBothDeliver();
    // As if it had been ended before it asked for the new one.
    const store = createSubscriptionStore(redis);
    const rotation = await store.rotation();
    if (rotation === undefined) throw new Error("no rotation is under way");
    await deleteByHand(made, settings());
    await deleteByHand(old, settings());
    await store.keepRotation({ ...rotation, step: "creating", newUri: null });
    const gone = await rotate("--timeout", "0");
    expect(gone).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("The new subscription alone delivers now"),
    });
    expect([...simulator.subscriptions.values()]).toMatchObject([
      { url: `${webhookUrl}?g=1`, events: old.events, state: "active" },
    ]);
  }),
  180_000,
);

test.concurrent.each([[[]], [["--emergency"]]])(
  "whose new subscription delivers no more, a rotation (%j) leaves the old one, and can be given up",
  on(async ({ simulator, startWorkerWith, rotate, untilBothDeliver }, args) => {
    const { old, made } = await untilBothDeliver();
    await startWorkerWith();
    disable(made);
    expect(await rotate("--timeout", "0", ...args)).toMatchObject({
      status: 78,
      stderr: expect.stringContaining("The new subscription is disabled"),
    });
    expect(old.state).toBe("active");
    expect(await rotate("--abort")).toMatchObject({
      status: 0,
      stdout: "The rotation is given up; the old subscription goes on.\n",
    });
    expect([...simulator.subscriptions.values()]).toEqual([old]);
  }),
  180_000,
);

test.concurrent(
  "who gives up a rotation neither of whose subscriptions delivers is told so",
  on(async ({ simulator, register, rotate, untilBothDeliver }) => {
    const { old, made } = await untilBothDeliver();
    disable(old);
    disable(made);
    expect(await rotate("--abort")).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("the old subscription delivers nothing: `calendly webhooks register`"),
    });
    await register();
    expect([...simulator.subscriptions.values()]).toMatchObject([{ signingKey: OLD_KEY, state: "active" }]);
  }),
  180_000,
);

test.concurrent(
  "in an emergency nothing is waited for",
  on(async ({ simulator, webhookUrl, redeploy, startWorkerWith, register, nextStart, rotate }) => {
    await register();
    await redeploy(BOTH);
    // Its invitees cannot be had, so that the comparison passes it over.
    const { event } = simulator.account.book({ eventType: "intro", start: nextStart(), ...PRIYA });
    event.inviteesStatus = 403;
    expect(await rotate("--emergency")).toMatchObject({ status: 1, stderr: expect.stringContaining("no worker") });
    await startWorkerWith();
    const done = await rotate("--emergency");
    expect(done).toMatchObject({ status: 0, stdout: expect.stringContaining("At once") });
    expect(done.stderr).toContain("1 events were passed over");
    expect([...simulator.subscriptions.values()]).toMatchObject([{ url: `${webhookUrl}?g=1`, signingKey: NEW_KEY }]);
  }),
  180_000,
);

test.concurrent(
  "an ingest that does not accept the key of a live subscription is not ready, and says which variable to restore",
  on(async ({ redeploy, startWorkerWith, register, isReady, rotate }) => {
    await register();
    await redeploy(BOTH);
    await startWorkerWith();
    expect(await rotate("--emergency")).toMatchObject({ status: 0 });
    expect(await isReady()).toBe(true);
    // The environment of before the rotation.
    const ingest = await redeploy({ CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY });
    expect(await isReady()).toBe(false);
    const line = await ingest.untilLogged("the signing key of a live subscription is not accepted");
    expect(line["advice"]).toContain("CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY");
    await redeploy(PROMOTED);
    expect(await isReady()).toBe(true);
  }),
  180_000,
);

describe("after Redis was emptied under running apps, all give the keys the same names:", () => {
  test.concurrent(
    "where a command was the first to name them",
    on(async ({ redis, simulator, startWorkerWith, register, isReady, namesOf, namesTold }) => {
      const worker = await startWorkerWith({ CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY });
      await emptyRedis(redis);
      await register();
      expect(await isReady()).toBe(true);
      // The worker finds the key that the command has named among its own.
      for (const made of simulator.subscriptions.values()) made.state = "disabled";
      const { url } = await worker.untilLogged("listening");
      await until("the worker works with it", async () => (await fetch(`${String(url)}/readyz`)).status === 200);
      await worker.untilLogged("made the webhook subscription anew", 20_000);
      expect(await isReady()).toBe(true);
      expect(await namesTold()).toEqual(await namesOf(OLD_KEY));
    }),
  );

  test.concurrent(
    "where a running ingest was the first, whoever starts later goes on under its names",
    on(async ({ redis, redeploy, register, isReady, namesOf, namesTold }) => {
      const before = await namesOf(OLD_KEY);
      await emptyRedis(redis);
      expect(await isReady()).toBe(true);
      await register();
      expect(await isReady()).toBe(true);
      expect(await namesTold()).toEqual(before);
      await redeploy({ CALENDLY_WEBHOOK_SIGNING_KEY: OLD_KEY });
      expect(await isReady()).toBe(true);
      expect(await namesOf(OLD_KEY)).toEqual(before);
    }),
  );
});
