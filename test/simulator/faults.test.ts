import { describe, expect, test } from "@jest/globals";
import { until } from "../support/until.ts";
import { createHarness, eventsOf, KEY, LATER, PRIYA } from "./harness.ts";
import type { Simulator, SimulatorOptions } from "./simulator.ts";

const { startBoth, startReceiver, start } = createHarness();

const bookDays = (simulator: Simulator, from: number, to: number) => {
  for (let day = from; day <= to; day++)
    simulator.account.book({ ...PRIYA, start: `2030-02-${String(day).padStart(2, "0")}T15:00:00Z` });
};
const urisOf = (simulator: Simulator) => simulator.attempts().map(({ about }) => about);
const happenedUris = (simulator: Simulator) => simulator.account.history().map(({ payload }) => payload["uri"]);

test("duplicate: each delivery comes that often, with the same bytes", async () => {
  const { simulator, received } = await startBoth({ faults: { duplicate: 3 } });
  simulator.account.book(PRIYA);
  await simulator.settled();
  expect(received).toHaveLength(3);
  expect(new Set(received.map(({ text }) => text)).size).toBe(1);
});

test.each([{ duplicate: 2 }, { swapNext: true }, { reorder: 2 }])(
  "%j: each one leaves when the one before it is answered, so that the order is no luck",
  async (faults) => {
    const gate = Promise.withResolvers<number>();
    const { simulator, received } = await startBoth({ faults }, (_, count) => (count === 1 ? gate.promise : 200));
    bookDays(simulator, 1, "duplicate" in faults ? 1 : 2);
    await until("the first one is there", () => received.length === 1);
    await expect(simulator.settled({ timeoutMs: 60 })).rejects.toThrow(/on its way, tries: 1;.* held back$/);
    expect(received).toHaveLength(1);
    gate.resolve(200);
    await simulator.settled();
    expect(received).toHaveLength(2);
  },
);

test("two subscriptions that match each get the delivery, signed with the key of each", async () => {
  const { simulator, received, url } = await startBoth();
  simulator.subscribe(`${url}?generation=2`, "another-key");
  simulator.account.book(PRIYA);
  await simulator.settled();
  expect(received).toHaveLength(2);
  expect(new Set(received.map(({ headers }) => headers["calendly-webhook-signature"])).size).toBe(2);
});

describe("swapNext", () => {
  test("lets the next two come in the other order, and only they", async () => {
    const { simulator, received } = await startBoth();
    const invitee = simulator.account.book(PRIYA);
    await simulator.settled();
    simulator.setFaults({ swapNext: true });
    const next = simulator.account.reschedule(invitee.id, LATER);
    simulator.account.cancel(next.id);
    await simulator.settled();
    expect(eventsOf(received).slice(0, 1)).toEqual(["invitee.created"]);
    const halves = simulator.attempts().filter(({ about, event }) => about !== next.uri || event === "invitee.created");
    expect(halves.map(({ event }) => event)).toEqual(["invitee.created", "invitee.created", "invitee.canceled"]);
    expect(simulator.faults.swapNext).toBe(false);
  });

  test("holds the first one back until there is a second one, or it is let go", async () => {
    const { simulator, received } = await startBoth({ faults: { swapNext: true } });
    const { id } = simulator.account.book(PRIYA);
    await expect(simulator.settled({ timeoutMs: 0 })).rejects.toThrow(
      `not settled after 0 ms: invitee.created of ${id} held back`,
    );
    expect(received).toHaveLength(0);
    simulator.releaseHeld();
    await simulator.settled();
    expect(received).toHaveLength(1);
  });
});

describe("reorder", () => {
  test("holds deliveries back and sends them shuffled, in the same order for the same seed", async () => {
    const run = async (seed: number) => {
      const { simulator } = await startBoth({ seed, faults: { reorder: 6 } });
      bookDays(simulator, 1, 5);
      await expect(simulator.settled({ timeoutMs: 0 })).rejects.toThrow("held back");
      expect(simulator.attempts()).toEqual([]);
      bookDays(simulator, 6, 6);
      await simulator.settled();
      const happened = happenedUris(simulator);
      return urisOf(simulator).map((uri) => happened.indexOf(uri));
    };
    const order = await run(3);
    expect(order.toSorted()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(order).not.toEqual([0, 1, 2, 3, 4, 5]);
    expect(await run(3)).toEqual(order);
    expect(await run(4)).not.toEqual(order);
  });

  test("lets go what it holds back when it is switched off", async () => {
    const { simulator, received } = await startBoth({ faults: { reorder: 10 } });
    bookDays(simulator, 1, 3);
    simulator.setFaults({ reorder: 1 });
    await simulator.settled();
    expect(received).toHaveLength(3);
  });
});

describe("drop", () => {
  test("loses the next ones, or all, though they happened", async () => {
    const { simulator, received } = await startBoth({ faults: { dropNext: 1 } });
    bookDays(simulator, 1, 2);
    simulator.setFaults({ drop: 1 });
    bookDays(simulator, 3, 3);
    await simulator.settled();
    expect(received).toHaveLength(1);
    expect(simulator.account.history()).toHaveLength(3);
  });

  test("loses the same ones for the same seed, whatever the network does meanwhile", async () => {
    const run = async (status: number) => {
      const options: SimulatorOptions = {
        seed: 8,
        speed: 6_000,
        faults: { drop: 0.5, duplicate: 2, delayMaxMs: 90_000 },
      };
      const { simulator } = await startBoth(options, (_, count) => (count < 4 ? status : 200));
      bookDays(simulator, 1, 20);
      await simulator.settled();
      const happened = happenedUris(simulator);
      return [...new Set(urisOf(simulator).map((uri) => happened.indexOf(uri)))].toSorted();
    };
    const kept = await run(200);
    expect(kept.length).toBeGreaterThan(2);
    expect(kept.length).toBeLessThan(18);
    expect(await run(500)).toEqual(kept);
  });
});

test("delay: deliveries come later, on the simulator's schedule", async () => {
  const { simulator, received } = await startBoth({ speed: 600, faults: { delayMinMs: 60_000, delayMaxMs: 120_000 } });
  const from = performance.now();
  simulator.account.book(PRIYA);
  await simulator.settled();
  expect(received).toHaveLength(1);
  expect(performance.now() - from).toBeGreaterThan(98);
});

test("the API can be down, answer garbage, or take its time", async () => {
  const simulator = await start({ faults: { api: "down" } });
  const ask = () =>
    fetch(`${simulator.url}/users/me`, { headers: { authorization: "Bearer demo-token-not-a-secret" } });
  const down = await ask();
  expect(down.status).toBe(503);
  expect(down.headers.get("x-ratelimit-limit")).toBe("500");
  simulator.setFaults({ api: "garbage" });
  const garbage = await ask();
  expect(garbage.status).toBe(200);
  await expect(garbage.json()).rejects.toThrow("JSON");
  simulator.setFaults({ api: "well", apiLatencyMs: 80 });
  const from = performance.now();
  expect((await ask()).status).toBe(200);
  expect(performance.now() - from).toBeGreaterThan(78);
});

test("a user's subscription hears of that user's events alone, and of no routing forms", async () => {
  const { simulator, received } = await startBoth();
  const user = await startReceiver();
  const { account } = simulator;
  const [mara] = account.catalog.hosts;
  const body = {
    url: user.url,
    events: ["invitee.created"],
    organization: account.catalog.organization,
    scope: "user",
    user: mara?.uri,
    signing_key: KEY,
  };
  const created = await fetch(`${simulator.url}/webhook_subscriptions`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { authorization: "Bearer demo-token-not-a-secret", "content-type": "application/json" },
  });
  expect(created.status).toBe(201);
  account.book(PRIYA);
  const hers = account.book({ ...PRIYA, eventType: "product-demo" });
  const shared = account.book({ ...PRIYA, eventType: "panel" });
  account.cancel(hers.id);
  account.submitRoutingForm([], "product-demo");
  await simulator.settled();
  expect(received).toHaveLength(5);
  const uris = user.received.map(({ delivery }) => delivery.payload["uri"]);
  expect(new Set(uris)).toEqual(new Set([hers.uri, shared.uri]));
});
