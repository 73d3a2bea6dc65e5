import { createServer } from "node:net";
import { describe, expect, test } from "@jest/globals";
import { until } from "../support/until.ts";
import { api, createHarness, KEY, LATER, PRIYA } from "./harness.ts";

const { start, startBoth } = createHarness();

/** A day of the schedule lasts over four seconds: what a try takes on a slow machine is a small part of it. */
const DAY_IN_SECONDS = 20_000;

describe("a delivery that is not answered 2xx", () => {
  test.each([301, 401, 500])("%i is tried again until it is", async (status) => {
    const { simulator, received, subscription } = await startBoth({ speed: 6_000 }, (_, count) =>
      count < 4 ? status : 204,
    );
    simulator.account.book(PRIYA);
    await until("a retry is on", () => subscription.retryStartedAt !== null);
    await simulator.settled();
    expect(received).toHaveLength(4);
    expect(new Set(received.map(({ text }) => text)).size).toBe(1);
    expect(simulator.attempts().map((tried) => [tried.attempt, tried.status])).toEqual([
      [1, status],
      [2, status],
      [3, status],
      [4, 204],
    ]);
    expect(subscription).toMatchObject({ state: "active", retryStartedAt: null });
  });

  test("is tried again after steps that double: 1, 2, 4 min of the schedule", async () => {
    const { simulator } = await startBoth({ speed: 1_200 }, (_, count) => (count < 4 ? 503 : 200));
    simulator.account.book(PRIYA);
    await simulator.settled();
    const times = simulator.attempts().map(({ sentAt }) => Date.parse(sentAt));
    const steps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    // 50, 100 and 200 ms of real time; never sooner, but for the rounding of both ends.
    for (const [index, step] of steps.entries()) expect(step).toBeGreaterThanOrEqual(50 * 2 ** index - 2);
  });

  test("does not keep the others from being sent meanwhile", async () => {
    const { simulator } = await startBoth({}, ({ delivery }) => (delivery.payload["name"] === "Unlucky" ? 500 : 200));
    simulator.account.book({ ...PRIYA, name: "Unlucky" });
    const lucky = simulator.account.book({ ...PRIYA, start: LATER });
    await until("the other one is delivered", () =>
      simulator.attempts().find(({ about, status }) => about === lucky.uri && status === 200),
    );
    await until("the first one failed", () => simulator.attempts().length === 2);
    await expect(simulator.settled({ timeoutMs: 0 })).rejects.toThrow(
      /not settled after 0 ms: invitee.created of \S+ waiting for a retry, tries: 1$/,
    );
  });

  test.each([
    ["frozen", 1],
    ["renewed", 3],
  ] as const)("has its signature's time %s on retries", async (signatureTimeOnRetry, times) => {
    let seconds = 1_800_000_000;
    const now = () => {
      seconds += 1;
      return seconds * 1_000;
    };
    const { simulator, received } = await startBoth({ speed: 6_000, now, faults: { signatureTimeOnRetry } }, (_, n) =>
      n < 3 ? 503 : 200,
    );
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(new Set(simulator.attempts().map(({ t }) => t)).size).toBe(times);
    expect(new Set(received.map(({ headers }) => headers["calendly-webhook-signature"])).size).toBe(times);
  });
});

describe("a delivery that is not answered at all", () => {
  test("fails for want of a connection", async () => {
    const simulator = await start();
    const closed = createServer().listen(0, "127.0.0.1");
    await until("it has a port", () => closed.address());
    const { port } = closed.address() as { port: number };
    await new Promise((resolve) => closed.close(resolve));
    simulator.subscribe(`http://localhost:${port}/hook`, KEY);
    simulator.account.book(PRIYA);
    const attempt = await until("it was tried", () => simulator.attempts()[0]);
    expect(attempt.error).toContain("ECONNREFUSED");
    expect(attempt).not.toHaveProperty("status");
  });

  test("fails when the time to read is over", async () => {
    const timeouts = { connectMs: 5_000, readMs: 60 };
    const { simulator } = await startBoth({ timeouts }, () => "nothing");
    simulator.account.book(PRIYA);
    const attempt = await until("it was tried", () => simulator.attempts()[0]);
    expect(attempt).toMatchObject({ attempt: 1, error: "no answer within 60 ms" });
    expect(attempt.ms).toBeGreaterThanOrEqual(59);
  });

  test("does not keep the simulator from closing, and is given up then", async () => {
    const { simulator, received, openConnections } = await startBoth({}, () => "nothing");
    simulator.account.book(PRIYA);
    await until("it is on its way", () => received.length === 1);
    await simulator.close();
    await until("its connection is closed", async () => (await openConnections()) === 0);
    expect(simulator.attempts()).toEqual([]);
  });
});

describe("a subscription", () => {
  test("ends when one more delivery fails after a day of failures, and hears nothing any more", async () => {
    const { simulator, subscription, received } = await startBoth({ speed: DAY_IN_SECONDS }, () => 503);
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(received.length).toBeGreaterThan(8);
    expect(subscription.state).toBe("active");
    expect(subscription.retryStartedAt).toEqual(expect.any(String));
    simulator.account.book({ ...PRIYA, start: LATER });
    await simulator.settled();
    expect(subscription.state).toBe("disabled");
    const before = received.length;
    simulator.account.book({ ...PRIYA, start: "2030-01-17T15:00:00Z" });
    await simulator.settled();
    expect(received).toHaveLength(before);
    const { organization } = simulator.account.catalog;
    const list = await api(simulator, `/webhook_subscriptions?scope=organization&organization=${organization}`);
    expect(list.body).toMatchObject({ collection: [{ state: "disabled", retry_started_at: expect.any(String) }] });
  });

  test("is forgiven that day by the next delivery that succeeds", async () => {
    let status = 503;
    const { simulator, subscription } = await startBoth({ speed: DAY_IN_SECONDS }, () => status);
    simulator.account.book(PRIYA);
    await simulator.settled();
    status = 200;
    simulator.account.book({ ...PRIYA, start: LATER });
    await simulator.settled();
    expect(subscription.retryStartedAt).toBeNull();
    status = 503;
    simulator.account.book({ ...PRIYA, start: "2030-01-17T15:00:00Z" });
    await until("it was tried again", () => subscription.retryStartedAt !== null);
    expect(subscription.state).toBe("active");
  });

  test("that is deleted takes its waiting retries with it", async () => {
    // The first retries come after a second: time to delete one.
    const { simulator, subscription, url } = await startBoth({ speed: 60 }, () => 503);
    const other = simulator.subscribe(`${url}?other`, KEY);
    simulator.account.book(PRIYA);
    await until("both were tried", () => simulator.attempts().length === 2);
    await api(simulator, new URL(subscription.uri).pathname, { method: "DELETE" });
    // The retries of both were due at the same time.
    await until("the other one was tried again twice", () => simulator.attempts().length >= 4);
    const triesOf = ({ uri }: { uri: string }) => simulator.attempts().filter((tried) => tried.subscription === uri);
    expect(triesOf(subscription)).toHaveLength(1);
    expect(triesOf(other).length).toBeGreaterThanOrEqual(3);
  });
});
