import { disconnect } from "@calendly-worker/core/redis/connect";
import { describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, startSimulator } from "../simulator/simulator.ts";
import { expectEveryLogRight, idsOfLogs } from "../support/account-logs.ts";
import type { Variables } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { SIGNING_KEY } from "../support/deliveries.ts";
import { freePort, startRedis } from "../support/redis-server.ts";
import { openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const MINUTE_MS = 60_000;

/** Calendly, an ingest that it delivers to, and a worker, with a Redis of their own: the days here may go on side by side. */
async function begin({ speed, rateLimit = 100_000 }: { speed: number; rateLimit?: number }, variables: Variables) {
  const server = await startRedis();
  const redis = await connectRedis(server.url);
  const outcomes = await openOutcomeLog(redis);
  const simulator = await startSimulator({ seed: 9, speed, rateLimit });
  const face = { ...variables, INGEST_PORT: String(await freePort()) };
  let ingest = await startIngest(server.url, face);
  const worker = startWorker(server.url, {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
    CALENDLY_WEBHOOK_BASE_URL: ingest.baseUrl,
    CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "1",
    CALENDLY_KEY_ROTATION_MONITORING: "false",
    LOG_LEVEL: "info",
    ...variables,
  });
  await Promise.all([worker.untilLogged("taking jobs"), ingest.untilLogged("ready for deliveries")]);
  const subscription = simulator.subscribe(ingest.webhookUrl, SIGNING_KEY);

  let slot = 0;
  /** At a time of its own, so that no host is booked twice. */
  const nextStart = () => {
    slot += 1;
    return new Date(Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS + (60 + slot * 30) * MINUTE_MS).toISOString();
  };
  return {
    simulator,
    subscription,
    outcomes,
    webhookUrl: ingest.webhookUrl,
    nextStart,
    book() {
      const person = { name: `Guest ${slot}`, email: `guest.${slot}@acme-corp.example` };
      return simulator.account.book({ eventType: "intro", start: nextStart(), ...person });
    },
    notices: async () => (await redis.xrange("{calendly:0}:notices", "-", "+")).map(([, fields]) => String(fields[1])),
    goDark: () => ingest.end("SIGKILL"),
    async comeBack() {
      ingest = await startIngest(server.url, face);
    },
    async end() {
      await Promise.all([ingest.end("SIGKILL"), worker.end("SIGKILL")]);
      disconnect(redis);
      await simulator.close();
      await server.stop();
    },
  };
}

type Days = Awaited<ReturnType<typeof begin>>;

test.concurrent("what happens while nothing can be delivered, past the disabling of the subscription, is found and told as if it had been", async () => {
  const days = await begin(
    { speed: 1_440, rateLimit: 50 },
    { CALENDLY_SUBSCRIPTION_AUTOHEAL: "true", CALENDLY_RECONCILE_NEAR_INTERVAL: "60", CALENDLY_RECONCILE_GRACE: "2" },
  );
  await pastTheDisabling(days).finally(days.end);
}, 900_000);

async function pastTheDisabling(days: Days): Promise<void> {
  const BOOKINGS = 500;
  const { simulator, subscription, outcomes, book, nextStart, notices, goDark, comeBack, webhookUrl } = days;
  const before = book();
  await outcomes.untilThere([`${before.id}.confirmed`]);

  const asked = simulator.requests().length;
  await goDark();
  const booked = Array.from({ length: BOOKINGS }, book);
  const act = (index: number) => {
    const invitee = booked[index];
    if (invitee === undefined) return;
    if (index % 4 === 0) simulator.account.reschedule(invitee.id, nextStart());
    if (index % 4 === 1) simulator.account.cancel(invitee.id);
  };
  for (let index = 0; index < BOOKINGS - 10; index++) act(index);
  await until(
    "calendly gives up and disables the subscription",
    () => {
      // A message that fails after a day of failures is what disables it.
      if (Date.now() - Date.parse(before.createdAt) > 60_000) book();
      return subscription.state === "disabled";
    },
    { deadlineMs: 100_000, everyMs: 500 },
  );
  for (let index = BOOKINGS - 10; index < BOOKINGS; index++) act(index);
  // The guardian looks every second here, and soon has its share of a minute's budget: then it waits for the next one.
  await until("it is made anew", () => [...simulator.subscriptions.values()].some(({ url }) => url.endsWith("?g=1")), {
    deadlineMs: 75_000,
  });
  await comeBack();

  await outcomes.untilThere(idsOfLogs(simulator.account), 120_000);
  expectEveryLogRight(simulator.account, await outcomes.all());
  await until(
    "nothing is retried any more",
    () => [...simulator.subscriptions.values()].every(({ retryStartedAt }) => retryStartedAt === null),
    { deadlineMs: 30_000 },
  );
  expect([...simulator.subscriptions.values()]).toMatchObject([{ url: `${webhookUrl}?g=1`, state: "active" }]);
  expect(await notices()).toEqual(expect.arrayContaining(["subscription.retrying", "subscription.healed"]));

  const requests = simulator.requests(asked).filter(({ path }) => path.startsWith("/scheduled_events"));
  const events = simulator.account.events.length;
  const least = Math.ceil(events / 100) + events;
  process.stdout.write(
    `${requests.length} requests closed a gap of ${events} events; the least possible is ${least}\n`,
  );
  expect(simulator.requests().filter(({ status }) => status === 429)).toEqual([]);
  // What comes from now on is delivered again.
  const fresh = book();
  expect(await outcomes.untilThere([`${fresh.id}.confirmed`])).toContainEqual(
    expect.objectContaining({ id: `${fresh.id}.confirmed`, data: expect.objectContaining({ origin: "webhook" }) }),
  );
}

describe("where Calendly repeats deliveries with the signature's time of the first try", () => {
  test.concurrent.each(["refuse", "defer"] as const)(
    "all facts arrive once and the subscription lives on, under %s",
    async (late) => {
      const days = await begin(
        { speed: 4_320 },
        {
          CALENDLY_WEBHOOK_LATE_DELIVERIES: late,
          CALENDLY_WEBHOOK_REPLAY_PROTECTION_WINDOW: "1",
          CALENDLY_LATE_FETCHES: "100000",
        },
      );
      await throughOutages(days, late).finally(days.end);
    },
    360_000,
  );
});

async function throughOutages(days: Days, late: "refuse" | "defer"): Promise<void> {
  const { simulator, subscription, outcomes, book, nextStart, notices, goDark, comeBack } = days;
  simulator.setFaults({ signatureTimeOnRetry: "frozen" });
  const begun = Date.now();
  // Twenty seconds are Calendly's day here: the outages go on for longer than two of those.
  while (Date.now() < begun + 44_000) {
    await goDark();
    const booked = Array.from({ length: 8 }, book);
    for (const { id } of booked.slice(0, 2)) simulator.account.reschedule(id, nextStart());
    for (const { id } of booked.slice(2, 4)) simulator.account.cancel(id);
    const lastT = Math.max(...simulator.attempts().map(({ t }) => t), 0);
    await until("the outage is longer than the window", () => Date.now() / 1_000 > lastT + 2.5);
    await comeBack();
    await outcomes.untilThere(idsOfLogs(simulator.account), 30_000);
    await until("the retries have ended", () => subscription.retryStartedAt === null, { deadlineMs: 20_000 });
  }
  expectEveryLogRight(simulator.account, await outcomes.all());
  expect(subscription.state).toBe("active");
  expect([...simulator.subscriptions.values()]).toEqual([subscription]);
  const answers = simulator
    .attempts()
    .map(({ status, body }) => `${status} ${(body as { status?: string } | undefined)?.status ?? ""}`);
  if (late === "refuse") {
    expect(answers).toContain("401 ");
    expect(answers).toContain("200 duplicate");
    expect((await notices()).filter((type) => type === "deliveries.signature_time_frozen")).toHaveLength(1);
  } else {
    expect(answers).toContain("200 deferred");
    expect(answers).not.toContain("401 ");
  }
}
