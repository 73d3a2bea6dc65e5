import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { until } from "../support/until.ts";
import { connectSimulator } from "./control-client.ts";
import { signatureHeader } from "./deliverer.ts";
import { DEMO_TOKEN, type Simulator, type SimulatorOptions, startSimulator } from "./simulator.ts";

const KEY = "receiver-key-not-a-secret";
const START = "2030-01-15T15:00:00Z";
const LATER = "2030-01-16T15:00:00Z";
const PRIYA = { eventType: "intro", start: START, name: "Priya Nair", email: "priya.nair@acme-corp.example" };

interface Received {
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  readonly delivery: {
    event: string;
    created_by: string;
    payload: Record<string, unknown> & { scheduled_event: Record<string, unknown> };
  };
}

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** Somebody who subscribed: answers with what `answer` says, and keeps what came. */
async function startReceiver(answer: (received: Received, count: number) => number = () => 200) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const one = { headers: request.headers, text, delivery: JSON.parse(text) };
      received.push(one);
      response.writeHead(answer(one, received.length)).end("{}");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(async () => {
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, received };
}

async function start(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator(options);
  closers.push(simulator.close);
  return simulator;
}

async function startBoth(options: SimulatorOptions = {}, answer?: Parameters<typeof startReceiver>[0]) {
  const receiver = await startReceiver(answer);
  const simulator = await start(options);
  return { ...receiver, simulator, subscription: simulator.subscribe(receiver.url, KEY) };
}

const eventsOf = (received: readonly Received[]) => received.map(({ delivery }) => delivery.event);

/** The parts of the API's answers that the tests read one by one. */
interface ApiBody {
  readonly message: string;
  readonly resource: { readonly uri: string };
  readonly collection: readonly { readonly start_time: string }[];
  readonly pagination: { readonly next_page_token: string | null };
}

async function api(
  simulator: Simulator,
  path: string,
  { method = "GET", body, token = DEMO_TOKEN }: { method?: string; body?: object; token?: string } = {},
) {
  const response = await fetch(`${simulator.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    headers: response.headers,
    body: (response.status === 204 ? {} : await response.json()) as ApiBody,
  };
}

describe("a delivery", () => {
  test("is signed by the rule, as the known vector shows", () => {
    const body =
      '{"event":"invitee.created","created_at":"2026-11-23T14:05:11.000000Z","created_by":"https://api.calendly.com/users/AAAA","payload":{"note":"é ☕"}}';
    const digest = "5918834214caa5c1e00a4c6263479cdefec2e9fd450cc0bc1673b7431bb47f4b";
    expect(signatureHeader("demo-signing-key-not-a-secret", 1_795_442_711, body)).toBe(`t=1795442711,v1=${digest}`);
  });

  test("comes as Calendly sends it: POST, JSON, signed over the very bytes", async () => {
    const { simulator, received } = await startBoth();
    simulator.account.book(PRIYA);
    await simulator.settled();
    const [first] = received;
    const signature = String(first?.headers["calendly-webhook-signature"]);
    const t = Number(/^t=(\d+)/.exec(signature)?.[1]);
    expect(signature).toBe(signatureHeader(KEY, t, first?.text ?? ""));
    expect(Math.abs(t - Date.now() / 1_000)).toBeLessThan(5);
    expect(first?.headers).toMatchObject({ "content-type": "application/json", "user-agent": "Calendly" });
    expect(first?.delivery).toMatchObject({
      event: "invitee.created",
      created_by: simulator.account.catalog.admin.uri,
    });
  });

  test("of an invitee has every key that Calendly sends", async () => {
    const { simulator, received } = await startBoth();
    const invitee = simulator.account.book(PRIYA);
    simulator.account.cancel(invitee.id, "host", "");
    await simulator.settled();
    const [created, canceled] = received.map(({ delivery }) => delivery.payload);
    const keys =
      "cancel_url created_at email event first_name invitee_scheduled_by last_name name new_invitee no_show old_invitee payment questions_and_answers reconfirmation reschedule_url rescheduled routing_form_submission scheduled_event scheduling_method status text_reminder_number timezone tracking updated_at uri";
    const eventKeys =
      "created_at end_time event_guests event_memberships event_type invitees_counter location meeting_notes_html meeting_notes_plain name start_time status updated_at uri";
    expect(Object.keys(created ?? {}).toSorted()).toEqual(keys.split(" "));
    expect(Object.keys(created?.scheduled_event ?? {}).toSorted()).toEqual(eventKeys.split(" "));
    expect(canceled).toMatchObject({
      status: "canceled",
      rescheduled: false,
      new_invitee: null,
      cancellation: { canceled_by: "Deji Okafor", canceler_type: "host", reason: "" },
      scheduled_event: { status: "canceled", invitees_counter: { total: 1, active: 0, limit: 1 } },
    });
  });

  test("of a reschedule is two halves that name each other", async () => {
    const { simulator, received } = await startBoth();
    const old = simulator.account.book(PRIYA);
    const next = simulator.account.reschedule(old.id, LATER);
    const last = simulator.account.reschedule(next.id, START);
    await simulator.settled();
    expect(eventsOf(received).filter((event) => event === "invitee.canceled")).toHaveLength(2);
    const payloadOf = (event: string, uri: string) =>
      received.find(({ delivery }) => delivery.event === event && delivery.payload["uri"] === uri)?.delivery.payload;
    expect(payloadOf("invitee.canceled", old.uri)).toMatchObject({
      rescheduled: true,
      new_invitee: next.uri,
      old_invitee: null,
    });
    expect(payloadOf("invitee.created", next.uri)).toMatchObject({
      rescheduled: false,
      new_invitee: null,
      old_invitee: old.uri,
    });
    expect(payloadOf("invitee.canceled", next.uri)).toMatchObject({
      rescheduled: true,
      new_invitee: last.uri,
      old_invitee: old.uri,
    });
  });

  test("of a group event counts its invitees, and one who leaves does not end it", async () => {
    const { simulator, received } = await startBoth();
    const book = (name: string) => simulator.account.book({ ...PRIYA, eventType: "webinar", name });
    const [ana, ben] = [book("Ana Costa"), book("Ben Otis")];
    expect(ana.event).toBe(ben.event);
    simulator.account.cancel(ana.id);
    await simulator.settled();
    const left = received.find(({ delivery }) => delivery.event === "invitee.canceled")?.delivery.payload
      .scheduled_event;
    expect(left).toMatchObject({ status: "active", invitees_counter: { total: 2, active: 1, limit: 50 } });
    expect(left).not.toHaveProperty("cancellation");
    simulator.account.cancelEvent(ana.event.id, "Speaker is ill");
    await simulator.settled();
    expect(received.at(-1)?.delivery.payload.scheduled_event).toMatchObject({
      status: "canceled",
      cancellation: { canceler_type: "host" },
    });
  });

  test("comes for no-shows, routing forms and event types too", async () => {
    const { simulator, received } = await startBoth();
    const { account } = simulator;
    const form = account.submitRoutingForm([{ question: "Team size", answer: "51-200" }], "intro");
    const invitee = account.book({ ...PRIYA, routingFormSubmission: form });
    account.markNoShow(invitee.id);
    account.clearNoShow(invitee.id);
    account.updateEventType("intro", { active: false });
    await simulator.settled();
    expect(eventsOf(received).toSorted()).toEqual([
      "event_type.updated",
      "invitee.created",
      "invitee_no_show.created",
      "invitee_no_show.deleted",
      "routing_form_submission.created",
    ]);
  });

  test("goes only to who subscribed to it: a user's subscription hears of that user's events", async () => {
    const { simulator, received } = await startBoth();
    const user = await startReceiver();
    const [mara] = simulator.account.catalog.hosts;
    const created = await api(simulator, "/webhook_subscriptions", {
      method: "POST",
      body: {
        url: user.url,
        events: ["invitee.created"],
        organization: simulator.account.catalog.organization,
        scope: "user",
        user: mara?.uri,
      },
    });
    expect(created.status).toBe(201);
    simulator.account.book(PRIYA);
    const hers = simulator.account.book({ ...PRIYA, eventType: "product-demo" });
    simulator.account.cancel(hers.id);
    await simulator.settled();
    expect(received).toHaveLength(3);
    expect(user.received.map(({ delivery }) => delivery.payload["uri"])).toEqual([hers.uri]);
  });
});

describe("a delivery that is not answered 2xx", () => {
  test.each([301, 401, 500])("%i is tried again until it is", async (status) => {
    const { simulator, received, subscription } = await startBoth({ speed: 6_000 }, (_, count) =>
      count < 4 ? status : 200,
    );
    simulator.account.book(PRIYA);
    await until("a retry is on", () => subscription.retryStartedAt !== null);
    await simulator.settled();
    expect(received).toHaveLength(4);
    expect(simulator.attempts().map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(subscription).toMatchObject({ state: "active", retryStartedAt: null });
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
    const { simulator } = await startBoth({ speed: 6_000, now }, (_, count) => (count < 3 ? 503 : 200));
    simulator.faults.signatureTimeOnRetry = signatureTimeOnRetry;
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(new Set(simulator.attempts().map(({ t }) => t)).size).toBe(times);
  });

  test("ends the subscription when it is one more after a day of failures, and nothing is sent any more", async () => {
    // A day of the schedule lasts under half a second.
    const { simulator, subscription, received } = await startBoth({ speed: 200_000 }, () => 503);
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(received.length).toBeGreaterThan(8);
    expect(subscription.state).toBe("active");
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
});

describe("what can be made to go wrong", () => {
  test("duplicate: each delivery comes that often, with the same bytes", async () => {
    const { simulator, received } = await startBoth();
    simulator.faults.duplicate = 3;
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(received).toHaveLength(3);
    expect(new Set(received.map(({ text }) => text)).size).toBe(1);
  });

  test("swapNext: the next two come in the other order, and only they", async () => {
    const { simulator, received } = await startBoth();
    const invitee = simulator.account.book(PRIYA);
    await simulator.settled();
    simulator.faults.swapNext = true;
    simulator.account.reschedule(invitee.id, LATER);
    await simulator.settled();
    expect(eventsOf(received)).toEqual(["invitee.created", "invitee.created", "invitee.canceled"]);
    expect(simulator.faults.swapNext).toBe(false);
  });

  test("reorder: deliveries are held back and come shuffled, the same way for the same seed", async () => {
    const run = async (seed: number) => {
      const { simulator, received } = await startBoth({ seed });
      simulator.faults.reorder = 6;
      for (let day = 1; day <= 5; day++)
        simulator.account.book({ ...PRIYA, start: `2030-02-0${day}T15:00:00Z`, name: `Invitee ${day}` });
      await expect(simulator.settled({ timeoutMs: 50 })).rejects.toThrow("invitee.created held back");
      expect(received).toHaveLength(0);
      simulator.account.book({ ...PRIYA, start: "2030-02-06T15:00:00Z", name: "Invitee 6" });
      await simulator.settled();
      return simulator.attempts().toSorted((a, b) => a.number - b.number).length;
    };
    expect(await run(3)).toBe(6);
  });

  test("dropNext and drop: deliveries never come, though they happened", async () => {
    const { simulator, received } = await startBoth();
    simulator.faults.dropNext = 1;
    simulator.account.book(PRIYA);
    simulator.account.book({ ...PRIYA, start: LATER });
    simulator.faults.drop = 1;
    simulator.account.book({ ...PRIYA, start: "2030-01-17T15:00:00Z" });
    await simulator.settled();
    expect(received).toHaveLength(1);
    expect(simulator.account.history()).toHaveLength(3);
  });

  test("delay: deliveries come later on the simulator's schedule", async () => {
    const { simulator, received } = await startBoth({ speed: 600 });
    Object.assign(simulator.faults, { delayMinMs: 60_000, delayMaxMs: 120_000 });
    const from = performance.now();
    simulator.account.book(PRIYA);
    await simulator.settled();
    expect(received).toHaveLength(1);
    expect(performance.now() - from).toBeGreaterThan(95);
  });
});

test("the same seed and the same acts give the same ids, another seed others", async () => {
  const run = async (seed: number, duplicate: number) => {
    const { simulator } = await startBoth({ seed });
    simulator.faults.duplicate = duplicate;
    const invitee = simulator.account.book(PRIYA);
    await simulator.settled();
    return [simulator.account.catalog.organization, invitee.uri, simulator.account.reschedule(invitee.id, LATER).uri];
  };
  const first = await run(5, 1);
  expect(await run(5, 3)).toEqual(first);
  expect(await run(6, 1)).not.toEqual(first);
});

describe("the API", () => {
  test("tells of a user, an event type, an event and its invitees", async () => {
    const simulator = await start();
    const invitee = simulator.account.book(PRIYA);
    expect((await api(simulator, "/users/me")).body).toMatchObject({
      resource: { current_organization: simulator.account.catalog.organization },
    });
    const type = new URL(invitee.event.type.uri).pathname;
    expect((await api(simulator, type)).body).toMatchObject({
      resource: { slug: "intro", kind: "solo", pooling_type: null },
    });
    const { pathname } = new URL(invitee.uri);
    const answer = await api(simulator, pathname);
    expect(answer.body).toMatchObject({ resource: { uri: invitee.uri, email: PRIYA.email } });
    expect(answer.body.resource).not.toHaveProperty("scheduled_event");
    const event = await api(simulator, new URL(invitee.event.uri).pathname);
    expect(event.body).toMatchObject({
      resource: { event_memberships: [{ buffered_start_time: "2030-01-15T14:45:00.000000Z" }] },
    });
    expect((await api(simulator, "/scheduled_events/none")).status).toBe(404);
  });

  test("lists in pages, filtered and sorted", async () => {
    const simulator = await start();
    for (let day = 10; day < 35 - 10; day++) simulator.account.book({ ...PRIYA, start: `2030-03-${day}T15:00:00Z` });
    const { organization } = simulator.account.catalog;
    const query = `organization=${organization}&count=6&sort=start_time:desc&min_start_time=2030-03-12T00:00:00Z`;
    const starts: string[] = [];
    let token: string | null = "";
    for (let page = 0; token !== null; page++) {
      const { body } = await api(simulator, `/scheduled_events?${query}${token ? `&page_token=${token}` : ""}`);
      starts.push(...body.collection.map((event) => event.start_time));
      token = body.pagination.next_page_token;
      if (page > 5) throw new Error("the pages do not end");
    }
    expect(starts).toHaveLength(13);
    expect(starts).toEqual(starts.toSorted().toReversed());
    expect((await api(simulator, "/scheduled_events")).body).toMatchObject({
      title: "Invalid Argument",
      details: [{ parameter: "organization" }],
    });
    expect((await api(simulator, `/scheduled_events?organization=${organization}&count=101`)).status).toBe(400);
  });

  test("takes a subscription once per address, gives it without its key, and has no update", async () => {
    const simulator = await start();
    const { organization } = simulator.account.catalog;
    const wanted = {
      url: "http://127.0.0.1:9/hook",
      events: ["invitee.created"],
      organization,
      scope: "organization",
      signing_key: "a-key",
    };
    const create = (body: object) => api(simulator, "/webhook_subscriptions", { method: "POST", body });
    const created = await create(wanted);
    expect(created.status).toBe(201);
    expect(JSON.stringify(created.body)).not.toContain("a-key");
    expect(await create(wanted)).toMatchObject({ status: 409, body: { message: "Hook with this url already exists" } });
    expect((await create({ ...wanted, url: `${wanted.url}?g=2` })).status).toBe(201);
    const path = new URL(created.body.resource.uri).pathname;
    expect((await api(simulator, path, { method: "PATCH", body: {} })).status).toBe(404);
    expect((await api(simulator, path, { method: "DELETE" })).status).toBe(204);
    expect((await api(simulator, path, { method: "DELETE" })).status).toBe(404);
  });

  test.each([
    ["invitee.rescheduled does not exist", { events: ["invitee.rescheduled"] }, "events"],
    ["the organization is missing", { organization: undefined }, "organization"],
    ["a user is needed for that scope", { scope: "user" }, "user"],
    ["a routing form is the organization's", { scope: "user", events: ["routing_form_submission.created"] }, "user"],
  ])("refuses a subscription: %s", async (_, change, parameter) => {
    const simulator = await start();
    const { organization } = simulator.account.catalog;
    const body = {
      url: "http://127.0.0.1:9/hook",
      events: ["invitee.created"],
      organization,
      scope: "organization",
      ...change,
    };
    const answer = await api(simulator, "/webhook_subscriptions", { method: "POST", body });
    expect(answer).toMatchObject({ status: 400, body: { title: "Invalid Argument", details: [{ parameter }] } });
  });

  test("answers 401 to a token that is not valid, each kind in its own words", async () => {
    const simulator = await start();
    simulator.access.setToken("old", { state: "expired" });
    simulator.access.setToken("gone", { state: "revoked" });
    const messages = await Promise.all(
      ["old", "gone", "unknown"].map(async (token) => (await api(simulator, "/users/me", { token })).body.message),
    );
    expect(messages).toEqual([
      "The access token expired",
      "The access token was revoked",
      "The access token is invalid",
    ]);
  });

  test("answers 403 with the scopes that a token lacks", async () => {
    const simulator = await start();
    simulator.access.setToken("reader", { scopes: ["users:read"] });
    const answer = await api(simulator, "/webhook_subscriptions?scope=organization", { token: "reader" });
    expect(answer).toMatchObject({
      status: 403,
      body: { title: "Insufficient scope", required_scopes: ["webhooks:read"] },
    });
  });

  test("tells the budget that all tokens share, answers 429 beyond it, and gives it anew in the next window", async () => {
    const simulator = await start({ rateLimit: 3, speed: 60 });
    simulator.access.setToken("other", {});
    const answers = [];
    for (const token of [DEMO_TOKEN, "other", DEMO_TOKEN, "other"])
      answers.push(await api(simulator, "/users/me", { token }));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
    expect(answers.map(({ headers }) => headers.get("x-ratelimit-remaining"))).toEqual(["2", "1", "0", "0"]);
    expect(Number(answers[0]?.headers.get("x-ratelimit-reset"))).toBeLessThanOrEqual(60);
    await until("the next window has begun", async () => (await api(simulator, "/users/me")).status === 200);
  });
});

describe("the control interface", () => {
  test("does over HTTP what can be done in the process", async () => {
    const { simulator, received, url } = await startBoth();
    expect(url).toContain("/hook");
    const client = connectSimulator(simulator.url);
    const booked = await client.book(PRIYA);
    await client.setFaults({ duplicate: 2 });
    await client.reschedule({ invitee: booked.invitee, start: LATER });
    await client.settled();
    expect(received).toHaveLength(5);
    expect(await client.attempts(1)).toHaveLength(4);
    expect((await client.history()).map(({ event }) => event)).toEqual([
      "invitee.created",
      "invitee.canceled",
      "invitee.created",
    ]);
  });

  test("says what was expected and what came", async () => {
    const client = connectSimulator((await start()).url);
    await expect(client.book({ ...PRIYA, eventType: "dinner" })).rejects.toThrow(
      'there is no event type "dinner"; there are product-demo, intro',
    );
    await expect(client.book({ ...PRIYA, start: "tomorrow" })).rejects.toThrow(
      'expected start as an ISO 8601 time, got "tomorrow"',
    );
    await expect(client.setFaults({ duplicate: 0 })).rejects.toThrow("duplicate");
    await expect(client.cancel({ invitee: "nobody" })).rejects.toThrow('there is no invitee "nobody"');
  });
});
