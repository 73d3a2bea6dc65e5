import { sweeps } from "@calendly-worker/core/queues/contracts";
import { createQueueOperations } from "@calendly-worker/core/queues/operations";
import { createShards, deploymentKey } from "@calendly-worker/core/redis/keys";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { NOTICES } from "@calendly-worker/core/store/notices";
import { createSubscriptionStore, type Rotation } from "@calendly-worker/core/store/subscriptions";
import { describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator } from "../simulator/simulator.ts";
import type { Subscription } from "../simulator/subscriptions.ts";
import { createApiClient } from "../support/api-client.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { countTries } from "../support/count-tries.ts";
import { SIGNING_KEY } from "../support/deliveries.ts";
import { startRedis } from "../support/redis-server.ts";
import { SHORT_LOCKS, scrape, startWorker } from "../support/stack.ts";
import { stagedBy } from "../support/stage.ts";
import { until } from "../support/until.ts";

const BASE = "https://hooks.example.org";
const URL_OF_OURS = `${BASE}/api/webhooks/calendly`;
const ALL_EVENTS =
  "invitee.created,invitee.canceled,invitee_no_show.created,invitee_no_show.deleted,routing_form_submission.created,event_type.created,event_type.updated,event_type.deleted";
/** Enough for comparisons, and not for a look at subscriptions. */
const CANNOT_LOOK = ["users:read", "scheduled_events:read", "event_types:read", "availability:read"];
const HOUR_MS = 3_600_000;

const on = stagedBy({ seed: 5, rateLimit: 100_000 }, ({ server, redis, simulator, running: workers }) => {
  async function guard(variables: Variables = {}, redisUrl = server.url): Promise<AppProcess> {
    const worker = startWorker(redisUrl, {
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      CALENDLY_WEBHOOK_BASE_URL: BASE,
      CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
      CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "1",
      CALENDLY_KEY_ROTATION_MONITORING: "false",
      ...variables,
    });
    workers.push(worker);
    await worker.untilLogged("taking jobs");
    return worker;
  }

  async function notices(): Promise<string[]> {
    return (await redis.xrange("{calendly:0}:notices", "-", "+")).map(([, fields]) => String(fields[1]));
  }

  const problems = async () =>
    (await createSubscriptionStore(redis).report())?.problems.map(({ code }) => code).join(", ");

  return { redis, simulator, workers, guard, notices, problems };
});

/** How often the guardian has looked so far. */
const looks = (worker: AppProcess) =>
  worker.logs.filter((line) => line.msg === "job ended" && line["job"] === "guard-subscription").length;

/** Whichever of the workers it is that looks. */
async function untilLooked(among: readonly AppProcess[], times = 2): Promise<void> {
  const all = () => among.reduce((sum, worker) => sum + looks(worker), 0);
  const before = all();
  await until("the guardian has looked again", () => all() >= before + times);
}

function disable(subscription: Subscription): void {
  subscription.state = "disabled";
}

test.concurrent(
  "a missing subscription, a disabled one and a retry are told once each, and nothing is changed unless that is wanted",
  on(async ({ simulator, guard, notices, problems }) => {
    const others = simulator.subscribe("https://somebody.example.org/api/webhooks/calendly", SIGNING_KEY);
    const worker = await guard();
    await until("it is missing", async () => (await problems()) === "missing");
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    await until("all is well", async () => (await problems()) === "");
    ours.retryStartedAt = "2026-11-23T10:00:00.000000Z";
    await until("it is retrying", async () => (await problems()) === "retrying");
    ours.retryStartedAt = null;
    disable(ours);
    await until("it is disabled", async () => (await problems()) === "disabled");
    disable(others);
    await untilLooked([worker]);
    expect(await notices()).toEqual(["subscription.missing", "subscription.retrying", "subscription.disabled"]);
    expect([...simulator.subscriptions.values()]).toEqual([others, ours]);
  }),
);

test.concurrent(
  "a disabled subscription is made anew by one of several workers, with the key of the one before, and the old one deleted",
  on(async ({ redis, simulator, workers, guard, notices, problems }) => {
    const ours = simulator.subscribe(`${URL_OF_OURS}?g=6`, "the-other-key-not-a-secret");
    const others = simulator.subscribe("https://hooks.example.org/api/webhooks/calendly2", SIGNING_KEY);
    const keys = { CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: "the-other-key-not-a-secret" };
    await guard({ ...keys, CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" });
    await until("all is well", async () => (await problems()) === "");
    // What `webhooks register` and a rotation write down.
    const fingerprint = (await openFingerprints(redis))("the-other-key-not-a-secret");
    await createSubscriptionStore(redis).rememberKey(ours.uri, fingerprint);
    await Promise.all([1, 2, 3].map(() => guard({ ...keys, CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" })));

    disable(ours);
    disable(others);
    await until("it is there again", async () => (await notices()).includes("subscription.healed"));
    await untilLooked(workers);
    const now = [...simulator.subscriptions.values()];
    expect(now).toHaveLength(2);
    expect(now).toContain(others);
    expect(now[1]).toMatchObject({
      url: `${URL_OF_OURS}?g=7`,
      signingKey: "the-other-key-not-a-secret",
      state: "active",
      scope: "organization",
      events: ALL_EVENTS.split(","),
    });
    expect((await notices()).filter((type) => type === "subscription.healed")).toHaveLength(1);
    expect(await problems()).toBe("");
    expect([...(await createSubscriptionStore(redis).signingKeys()).keys()]).toEqual([now[1]?.uri]);
    await until("the dark time is compared", () =>
      workers.some(({ logs }) => logs.some(({ msg }) => msg === "compared")),
    );
    expect(workers.map(({ output }) => output()).join()).not.toMatch(/the-other-key|test-signing-key/);
  }),
);

test.concurrent(
  "the comparison of a dark time that is given up is a dead letter, and has all its tries again when it is tried again",
  on(async ({ redis, simulator, guard, problems }) => {
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    const worker = await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" });
    await until("all is well", async () => (await problems()) === "");
    const person = { eventType: "intro", name: "Priya", email: "priya@acme-corp.example" };
    const { event } = simulator.account.book({ ...person, start: new Date(Date.now() + 86_400_000).toISOString() });
    event.inviteesStatus = 500;
    disable(ours);
    const jobId = await until("the comparison has failed, and is as one that has a single try left", async () => {
      const [id] = await countTries(redis, "{calendly:0}:sweeps", sweeps.attempts - 1);
      return id;
    });
    const queues = createQueueOperations({ redis, shards: createShards(1) });
    const [dead] = await until("it is given up", async () => {
      const failed = await queues.failed();
      return failed.length > 0 && failed;
    });
    expect(dead).toMatchObject({ queue: "sweeps", id: jobId, attempts: sweeps.attempts });
    expect(await queues.retry(({ id }) => id === jobId)).toBe(1);
    const tries = async () => Number(await redis.hget(`{calendly:0}:sweeps:${jobId}`, "atm"));
    await until("it has failed again, with tries left", async () => [1, 2].includes(await tries()));
    expect(await queues.failed()).toEqual([]);
    delete event.inviteesStatus;
    expect(await worker.untilLogged("compared")).toMatchObject({ seen: 1, read: 1, passedOver: 0 });
    await until("it is no dead letter any more", async () => (await queues.failed()).length === 0);
    await queues.close();
  }),
);

test.concurrent.each(["is on its way", "is answered"])(
  "a worker that is killed when the request for a new one %s leaves one new one, and the dark time is compared",
  on(async ({ simulator, guard, problems }, when) => {
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    const heal = { CALENDLY_SUBSCRIPTION_AUTOHEAL: "true", ...SHORT_LOCKS };
    const first = await guard(heal);
    await until("all is well", async () => (await problems()) === "");
    simulator.setFaults({ apiLatencyMs: 200 });
    disable(ours);
    const posted = () => simulator.requests().find(({ method }) => method === "POST");
    await until("it is asked for", () => (when === "is answered" ? posted()?.status === 201 : posted()), {
      everyMs: 1,
    });
    first.signal("SIGKILL");
    await first.exited;
    const second = await guard(heal);
    await second.untilLogged("compared");
    await until("all is well", async () => (await problems()) === "");
    const now = [...simulator.subscriptions.values()];
    expect(now).toMatchObject([{ url: `${URL_OF_OURS}?g=1`, state: "active", signingKey: SIGNING_KEY }]);
  }),
);

test.concurrent(
  "one that was deleted is made anew, but none where there never was one",
  on(async ({ simulator, guard, problems }) => {
    const worker = await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" });
    await untilLooked([worker], 3);
    expect(simulator.subscriptions.size).toBe(0);
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    await until("all is well", async () => (await problems()) === "");
    (simulator.subscriptions as Map<string, Subscription>).delete(ours.id);
    await until("it is there again", () => simulator.subscriptions.size === 1);
    expect([...simulator.subscriptions.values()]).toMatchObject([{ url: URL_OF_OURS, signingKey: SIGNING_KEY }]);
  }),
);

test.concurrent(
  "one that a person registers while it is being made anew is the only one",
  on(async ({ simulator, guard, problems }) => {
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" });
    await until("all is well", async () => (await problems()) === "");
    simulator.setFaults({ apiLatencyMs: 200 });
    (simulator.subscriptions as Map<string, Subscription>).delete(ours.id);
    const posted = () => simulator.requests().find(({ method }) => method === "POST");
    await until("another one is asked for", posted, { everyMs: 1 });
    const registered = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    await until("the answer is there", () => posted()?.status);
    await until("all is well", async () => (await problems()) === "");
    expect(posted()?.status).toBe(409);
    expect([...simulator.subscriptions.values()]).toEqual([registered]);
  }),
);

test.concurrent(
  "what stands in the way of healing is said",
  on(async ({ redis, simulator, guard, problems }) => {
    simulator.setToken("cannot-write", { scopes: ["users:read", "webhooks:read"] });
    disable(simulator.subscribe(URL_OF_OURS, SIGNING_KEY));
    await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true", CALENDLY_API_TOKEN: "cannot-write" });
    await until("it is said", async () => (await problems()) === "disabled, not_healed");
    const report = await createSubscriptionStore(redis).report();
    expect(report?.problems[1]?.message).toMatch(/lacks webhooks:write/);
  }),
);

test.concurrent(
  "doubles, strays and missing events are reported, and left as they are",
  on(async ({ simulator, guard, problems }) => {
    const first = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    simulator.subscribe(`${URL_OF_OURS}?g=1`, SIGNING_KEY);
    disable(simulator.subscribe(`${URL_OF_OURS}?g=2`, SIGNING_KEY));
    const worker = await guard({ CALENDLY_WEBHOOK_EVENTS: ALL_EVENTS });
    await until("they are seen", async () => (await problems()) === "doubled, stray");
    (first as { events: readonly string[] }).events = ["invitee.created"];
    (simulator.subscriptions as Map<string, Subscription>).forEach((subscription) => {
      if (subscription !== first) (simulator.subscriptions as Map<string, Subscription>).delete(subscription.id);
    });
    await until("it is seen", async () => (await problems()) === "events_differ");
    await untilLooked([worker]);
    expect([...simulator.subscriptions.values()]).toEqual([first]);
  }),
);

test.concurrent(
  "two installations on one account leave each other's subscriptions alone",
  on(async ({ simulator, workers, guard }) => {
    const second = await startRedis();
    try {
      const mine = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
      const theirs = simulator.subscribe("https://staging.example.org/api/webhooks/calendly", SIGNING_KEY);
      const heal = { CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" };
      const [a, b] = await Promise.all([
        guard(heal),
        guard({ ...heal, CALENDLY_WEBHOOK_BASE_URL: "https://staging.example.org" }, second.url),
      ]);
      await Promise.all([untilLooked([a]), untilLooked([b])]);
      disable(mine);
      await until("mine is made anew", () =>
        [...simulator.subscriptions.values()].some(({ url }) => url.endsWith("?g=1")),
      );
      await Promise.all([untilLooked([a]), untilLooked([b])]);
      expect([...simulator.subscriptions.values()].map(({ url, state }) => [url, state])).toEqual([
        [theirs.url, "active"],
        [`${URL_OF_OURS}?g=1`, "active"],
      ]);
    } finally {
      await Promise.all(workers.map((worker) => worker.end("SIGKILL")));
      await second.stop();
    }
  }),
);

/** A rotation that waits since then, between these two. */
const rotationSince = (startedAt: number, old: Subscription, next: Subscription): Rotation => ({
  step: "waiting",
  startedAt: new Date(startedAt).toISOString(),
  oldUri: old.uri,
  oldFingerprint: null,
  newUrl: next.url,
  newFingerprint: "new",
  newUri: next.uri,
  verifiedBefore: 0,
  isEmergency: false,
  sweep: null,
});

test.concurrent(
  "while a rotation is under way the guardian looks and tells what is wrong, and changes nothing",
  on(async ({ redis, simulator, guard, problems }) => {
    const pair = [
      simulator.subscribe(URL_OF_OURS, SIGNING_KEY),
      simulator.subscribe(`${URL_OF_OURS}?g=1`, SIGNING_KEY),
    ];
    const [ours, next] = pair as [Subscription, Subscription];
    const store = createSubscriptionStore(redis);
    await store.keepRotation(rotationSince(Date.now() - 25 * HOUR_MS, ours, next));
    const worker = await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true" });
    await untilLooked([worker]);
    // That there are two is no fault then.
    expect(await problems()).toBe("rotation_stalled");
    const checkedAt = (await store.report())?.checkedAt;
    expect(checkedAt).toEqual(expect.any(String));
    await until("it has looked again", async () => (await store.report())?.checkedAt !== checkedAt);
    for (const subscription of pair) disable(subscription);
    await until("it is told", async () => (await problems()) === "disabled, rotation_stalled");
    await untilLooked([worker]);
    expect([...simulator.subscriptions.values()]).toEqual(pair);
    await store.endRotation();
    await until("it is made anew", () => [...simulator.subscriptions.values()].some(({ url }) => url.endsWith("?g=2")));
    await until("all is well", async () => (await problems()) === "");
  }),
);

test.concurrent(
  "a disabled subscription that cannot be deleted beside the active one is told as left over",
  on(async ({ simulator, guard, problems }) => {
    simulator.setToken("cannot-write", { scopes: ["users:read", "webhooks:read"] });
    simulator.subscribe(`${URL_OF_OURS}?g=1`, SIGNING_KEY);
    const left = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    left.retryStartedAt = "2026-11-23T10:00:00.000000Z";
    disable(left);
    const worker = await guard({ CALENDLY_SUBSCRIPTION_AUTOHEAL: "true", CALENDLY_API_TOKEN: "cannot-write" });
    await until("it is told", async () => (await problems()) === "stray");
    // Calendly repeats nothing for one that is disabled.
    const { url } = await worker.untilLogged("listening");
    const metrics = await scrape(url);
    expect(metrics).toMatch(/^calendly_subscriptions\{state="disabled"\} 1$/m);
    expect(metrics).not.toMatch(/^calendly_subscription_retry_start/m);
  }),
);

/** Nothing is delivered, and the next days are compared all the time. */
const SILENCE: Variables = {
  CALENDLY_SILENCE_THRESHOLD: "1",
  CALENDLY_RECONCILE_NEAR_INTERVAL: "1",
  CALENDLY_RECONCILE_GRACE: "1",
};
const bookTomorrow = (simulator: Simulator) =>
  simulator.account.book({
    eventType: "intro",
    start: new Date(Date.now() + 24 * HOUR_MS).toISOString(),
    name: "Priya Nair",
    email: "priya.nair@acme-corp.example",
  });

test.concurrent(
  "silence is an alarm where Calendly's API knows of newer bookings, and none on a quiet day",
  on(async ({ simulator, guard, notices, problems }) => {
    simulator.subscribe("https://nowhere.example.org/", SIGNING_KEY);
    simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    simulator.setFaults({ drop: 1 });
    const worker = await guard(SILENCE);
    await untilLooked([worker], 4);
    expect(await problems()).toBe("");
    bookTomorrow(simulator);
    await until("the alarm is there", async () => (await problems()) === "silent");
    expect(await notices()).toEqual(["deliveries.silent"]);
  }),
);

test.concurrent.each<[string, Variables]>([
  ["the token may not look at subscriptions", { CALENDLY_API_TOKEN: "cannot-look" }],
  ["no public address is configured", { CALENDLY_WEBHOOK_BASE_URL: "" }],
  ["a rotation is under way", {}],
])(
  "silence is an alarm where %s, too",
  on(async ({ redis, simulator, guard, notices, problems }, where, variables) => {
    simulator.setToken("cannot-look", { scopes: CANNOT_LOOK });
    const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
    if (where.startsWith("a rotation")) {
      await createSubscriptionStore(redis).keepRotation(rotationSince(Date.now(), ours, ours));
    }
    simulator.setFaults({ drop: 1 });
    const worker = await guard({ ...SILENCE, ...variables });
    await untilLooked([worker]);
    expect(await notices()).toEqual([]);
    bookTomorrow(simulator);
    await until("the alarm is there", async () => (await problems()) === "silent");
    await untilLooked([worker]);
    expect(await notices()).toEqual(["deliveries.silent"]);
  }),
);

describe("what is told of a subscription", () => {
  const OPS = "ops-token-of-the-tests";
  const faceOf = async (worker: AppProcess) => String((await worker.untilLogged("listening"))["url"]);
  const healthOf = async (face: string) => (await createApiClient(face, OPS)("GET", "/api/health/calendly")).body;
  const checkedAtOf = async (face: string) =>
    /^calendly_subscription_checked_timestamp_seconds (\S+)$/m.exec(await scrape(face))?.[1];

  test.concurrent(
    "that nobody could see for an hour is not that it is well, and what was wrong with it stays wrong",
    on(async ({ redis, simulator, guard, notices, problems }) => {
      const beganAt = Date.now() - 2 * HOUR_MS;
      await redis.hset(deploymentKey, { began_at: String(beganAt) });
      simulator.setToken("cannot-look", { scopes: CANNOT_LOOK });
      const worker = await guard({ CALENDLY_API_TOKEN: "cannot-look", OPS_API_TOKEN: OPS });
      const face = await faceOf(worker);
      await untilLooked([worker]);
      const line = await worker.untilLogged("could not look at the webhook subscriptions");
      expect(line).toMatchObject({ level: "warn", code: "insufficient_scope" });
      expect(JSON.stringify(line)).toContain("webhooks:read");
      expect(await checkedAtOf(face)).toBe(String(beganAt / 1_000));
      expect(await scrape(face)).not.toMatch(/^calendly_subscriptions\{/m);
      expect(await healthOf(face)).toMatchObject({ status: "degraded", reasons: ["subscription_unchecked"] });
      expect((await createApiClient(face, OPS)("GET", "/ops")).body).toContain("Nobody has looked.");

      const ours = simulator.subscribe(URL_OF_OURS, SIGNING_KEY);
      simulator.setToken("cannot-look", { scopes: [...CANNOT_LOOK, "webhooks:read"] });
      await until("it is seen", async () => Number(await checkedAtOf(face)) > beganAt / 1_000 + 3_600);
      expect(await healthOf(face)).toMatchObject({ status: "ok", reasons: [] });
      expect(await scrape(face)).toMatch(/^calendly_subscriptions\{state="active"\} 1$/m);
      expect((await createApiClient(face, OPS)("GET", "/ops")).body).toMatch(/Seen \d+ s ago\./);

      disable(ours);
      await until("it is disabled", async () => (await problems()) === "disabled");
      simulator.setToken("cannot-look", { scopes: CANNOT_LOOK });
      const seenAt = await until("it is not seen any more", async () => {
        const before = await checkedAtOf(face);
        await untilLooked([worker]);
        return (await checkedAtOf(face)) === before && before;
      });
      expect(await problems()).toBe("disabled");
      expect(await healthOf(face)).toMatchObject({ reasons: ["subscription_disabled"] });
      expect(await checkedAtOf(face)).toBe(seenAt);
      expect(await notices()).toEqual(["subscription.disabled"]);
    }),
  );

  test.concurrent(
    "is nothing any more where the guardian is switched off, and only silence where there is no address to look for",
    on(async ({ guard, problems }) => {
      const first = await guard();
      await until("it is missing", async () => (await problems()) === "missing");
      await first.end();

      const off = await faceOf(await guard({ CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "0", OPS_API_TOKEN: OPS }));
      expect(await problems()).toBe("missing");
      expect(await scrape(off)).not.toMatch(/^calendly_subscription/m);
      expect(await healthOf(off)).toMatchObject({ status: "ok", details: { subscription: null } });

      const second = await guard({ CALENDLY_WEBHOOK_BASE_URL: "", OPS_API_TOKEN: OPS });
      await until("nothing is told to be wrong", async () => (await problems()) === "");
      const face = await faceOf(second);
      expect(await scrape(face)).not.toMatch(/^calendly_subscription/m);
      expect(await healthOf(face)).toMatchObject({ status: "ok" });
    }),
  );
});

test("every notice has a name of its own", () => expect(new Set(NOTICES).size).toBe(NOTICES.length));
