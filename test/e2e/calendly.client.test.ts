import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type CalendlyClient, createCalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError, errorOfAnswer } from "@calendly-worker/core/calendly/errors";
import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { openGate } from "../support/open-gate.ts";

const PRIYA = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
const sample = (name: string) => readFileSync(new URL(`../fixtures/rest/${name}.json`, import.meta.url), "utf8");

function clientOf(baseUrl: string, gate: ApiGate = openGate(DEMO_TOKEN), timeoutMs = 5_000): CalendlyClient {
  return createCalendlyClient({
    gate,
    baseUrl,
    timeoutMs,
    totalTimeoutMs: 10_000,
    signal: new AbortController().signal,
  });
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** The error that a call rejects with. */
async function failing(call: Promise<unknown>): Promise<CalendlyError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CalendlyError)) throw new Error(`expected a CalendlyError, got ${String(error)}`);
  return error;
}

describe("each call, against the simulated Calendly", () => {
  let simulator: Simulator;
  let client: CalendlyClient;
  beforeAll(async () => {
    simulator = await startSimulator({ seed: 901, rateLimit: 100_000 });
    client = clientOf(simulator.url);
  });
  afterAll(() => simulator?.close());

  const book = (day: number) =>
    simulator.account.book({
      ...PRIYA,
      eventType: "intro",
      start: new Date(Date.UTC(2030, 4, 1 + day, 15)).toISOString(),
    });

  test("tells the user, an invitee, an event and an event type", async () => {
    const { uri, event } = book(0);
    const { organization } = simulator.account.catalog;
    expect(await client.currentUser()).toMatchObject({ current_organization: organization });
    expect(await client.invitee(uri)).toMatchObject({ uri, email: PRIYA.email });
    expect(await client.scheduledEvent(event.uri)).toMatchObject({
      uri: event.uri,
      event_memberships: [{ buffered_start_time: expect.any(String) }],
    });
    expect(await client.eventType(event.type.uri)).toMatchObject({ slug: "intro", kind: "solo", pooling_type: null });
  });

  test("lists all pages of events and invitees, in a range where one is given", async () => {
    const { organization } = simulator.account.catalog;
    for (let day = 1; day <= 130; day++) book(day);
    const events = await all(client.scheduledEvents({ organization }));
    expect(events.length).toBe(131);
    expect(events.map(({ start_time }) => start_time)).toEqual(events.map(({ start_time }) => start_time).toSorted());
    const range = { minStart: "2030-05-10T00:00:00Z", maxStart: "2030-05-12T00:00:00Z" };
    expect(await all(client.scheduledEvents({ organization, ...range }))).toHaveLength(2);
    expect(await all(client.invitees(events[0]?.uri ?? ""))).toMatchObject([{ email: PRIYA.email }]);
  });

  test.each([
    ["included", "excluded"],
    ["included", "included"],
    ["excluded", "excluded"],
    ["excluded", "included"],
  ] as const)("lists the same where Calendly has events at a range's beginning %s, at its end %s", async (min, max) => {
    const { organization } = simulator.account.catalog;
    simulator.setFaults({ minStartTime: min, maxStartTime: max });
    const starts = ["10:00:00", "10:00:01", "11:59:59", "12:00:00"].map((time) => `2032-01-02T${time}Z`);
    for (const start of starts) simulator.account.book({ ...PRIYA, eventType: "intro", start });
    const range = { minStart: "2032-01-02T10:00:00.000000Z", maxStart: "2032-01-02T12:00:00.000Z" };
    const events = await all(client.scheduledEvents({ organization, ...range }));
    expect(new Set(events.map(({ start_time }) => Date.parse(start_time)))).toEqual(
      new Set(starts.slice(0, 3).map((start) => Date.parse(start))),
    );
    simulator.setFaults({ minStartTime: "included", maxStartTime: "excluded" });
  });

  test("lists the events of a host, an invitee or a status, and cancels one", async () => {
    const { organization } = simulator.account.catalog;
    const mine = simulator.account.book({
      name: "Lee Park",
      email: "lee.park@hanbit.example",
      eventType: "onboarding",
      start: "2031-01-02T15:00:00Z",
    });
    const [host] = mine.event.hosts;
    const expected = [{ uri: mine.event.uri, status: "active" }];
    expect(await all(client.scheduledEvents({ organization, inviteeEmail: "lee.park@hanbit.example" }))).toMatchObject(
      expected,
    );
    expect(await all(client.scheduledEvents({ organization, user: host?.uri ?? "" }))).toMatchObject(expected);
    await client.cancelEvent(mine.event.uri, "no time");
    expect(mine.cancellation).toMatchObject({ reason: "no time", canceler_type: "host" });
    expect(await all(client.scheduledEvents({ organization, status: "canceled" }))).toMatchObject([
      { uri: mine.event.uri },
    ]);
  });

  test("is ended by whoever makes it", async () => {
    simulator.setFaults({ apiLatencyMs: 5_000 });
    const ending = new AbortController();
    const call = failing(client.currentUser({ signal: ending.signal }));
    ending.abort();
    const error = await call;
    simulator.setFaults({ apiLatencyMs: 0 });
    expect(error).toMatchObject({
      code: "unavailable",
      message: "the current user was ended before there was an answer",
    });
  });

  test("tells free times", async () => {
    const type = simulator.account.catalog.eventTypes[0]?.uri ?? "";
    const range = { start: "2030-06-01T00:00:00Z", end: "2030-06-02T00:00:00Z" };
    const times = await client.availableTimes(type, range);
    expect(times.length).toBeGreaterThan(0);
    expect(times[0]).toMatchObject({ start_time: expect.any(String), invitees_remaining: 1 });
  });

  test("makes, lists and removes a webhook subscription, and says that it exists", async () => {
    const { organization } = simulator.account.catalog;
    const wanted = {
      url: "https://hooks.example.org/webhooks",
      events: ["invitee.created"],
      organization,
      scope: "organization",
      signingKey: "test-signing-key-not-a-secret",
    } as const;
    const { uri } = await client.createWebhookSubscription(wanted);
    expect(await all(client.webhookSubscriptions({ organization, scope: "organization" }))).toMatchObject([
      { uri, callback_url: wanted.url, state: "active" },
    ]);
    expect(await client.webhookSubscription(uri)).toMatchObject({ uri, events: ["invitee.created"] });
    const sampled = { event: "invitee.created", organization, scope: "organization" } as const;
    expect(await client.sampleDelivery(sampled)).toMatchObject({
      event: "invitee.created",
      payload: { uri: expect.any(String) },
    });
    expect(await failing(client.createWebhookSubscription(wanted))).toMatchObject({ code: "conflict" });
    await client.deleteWebhookSubscription(uri);
    expect(await failing(client.deleteWebhookSubscription(uri))).toMatchObject({ code: "not_found" });
  });

  test("rejects what the API does not do, each with its own code", async () => {
    const foreign = "https://api.calendly.com/organizations/SOMEBODY";
    expect(await failing(all(client.scheduledEvents({ organization: foreign })))).toMatchObject({
      code: "permission_denied",
    });
    const type = simulator.account.catalog.eventTypes[0]?.uri ?? "";
    const past = { start: "2020-01-01T00:00:00Z", end: "2020-01-02T00:00:00Z" };
    expect(await failing(client.availableTimes(type, past))).toMatchObject({
      code: "invalid_argument",
      details: { problems: ["start_time: must be in the future"] },
    });
    expect(await failing(client.eventType("https://api.calendly.com/event_types/NOBODY"))).toMatchObject({
      code: "not_found",
    });
    simulator.setToken("narrow", { scopes: ["users:read"] });
    expect(await failing(clientOf(simulator.url, openGate("narrow")).eventType(type))).toMatchObject({
      code: "insufficient_scope",
      details: { requiredScopes: ["event_types:read"] },
    });
  });

  test.each(["invalid", "expired", "revoked"] as const)("says that a token is %s", async (state) => {
    simulator.setToken(`token-${state}`, { state });
    const error = await failing(clientOf(simulator.url, openGate(`token-${state}`)).currentUser());
    expect(error).toMatchObject({ code: "unauthenticated", details: { tokenFault: state } });
    expect(JSON.stringify(error) + error.stack).not.toContain(`token-${state}`);
  });

  test("goes on with the second token when Calendly takes the first no more, and never uses that again", async () => {
    simulator.setToken("dying");
    simulator.setToken("heir");
    const twoTokens = clientOf(simulator.url, openGate("dying", "heir"));
    await twoTokens.currentUser();
    simulator.setToken("dying", { state: "revoked" });
    await twoTokens.currentUser();
    simulator.setToken("dying", { state: "valid" });
    simulator.setToken("heir", { state: "revoked" });
    expect(await failing(twoTokens.currentUser())).toMatchObject({ code: "unauthenticated" });
    expect(await failing(twoTokens.currentUser())).toMatchObject({
      message: expect.stringContaining("takes no token"),
    });
  });

  test("says when there is budget again", async () => {
    const poor = await startSimulator({ seed: 902, rateLimit: 1 });
    try {
      const poorClient = clientOf(poor.url);
      await poorClient.currentUser();
      const error = await failing(poorClient.currentUser());
      expect(error.code).toBe("rate_limited");
      expect(error.details.retryAfterMs).toBeGreaterThan(0);
      expect(error.details.retryAfterMs).toBeLessThanOrEqual(60_000);
    } finally {
      await poor.close();
    }
  });
});

describe("a Calendly in trouble", () => {
  let requests = 0;
  let server: Server;
  let url: string;
  let answers: ((n: number) => [status: number, body: string] | undefined) | undefined;

  beforeAll(async () => {
    server = createServer((_req, res) => {
      requests += 1;
      const answer = answers?.(requests);
      if (answer === undefined) return;
      res.writeHead(answer[0], { "content-type": "application/json" }).end(answer[1]);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server?.closeAllConnections();
    server?.close();
  });
  beforeEach(() => {
    requests = 0;
  });

  test("is asked again, where that is safe, and gives the answer when it comes", async () => {
    answers = (n) => (n < 3 ? [503, "{}"] : [200, sample("users_me.200")]);
    expect(await clientOf(url).currentUser()).toMatchObject({ uri: expect.any(String) });
    expect(requests).toBe(3);
  });

  test("is not asked twice for what would be done twice", async () => {
    answers = () => [500, "{}"];
    const subscription = {
      url: "https://x.example",
      events: [],
      organization: "o",
      scope: "user",
      signingKey: "k",
    } as const;
    expect(await failing(clientOf(url).createWebhookSubscription(subscription))).toMatchObject({ code: "unavailable" });
    expect(requests).toBe(1);
  });

  test("is left alone for a while when it fails again and again", async () => {
    answers = () => [503, "{}"];
    const client = clientOf(url);
    for (let call = 0; call < 3; call++) await failing(client.currentUser());
    const before = requests;
    expect(await failing(client.currentUser())).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("has just failed repeatedly"),
    });
    expect(requests).toBe(before);
  });

  test("that says nothing is not waited for", async () => {
    answers = () => undefined;
    const error = await failing(clientOf(url, openGate("silent-token"), 50).currentUser());
    expect(error).toMatchObject({ code: "timed_out" });
  });

  test("that cannot be reached is said so", async () => {
    expect(await failing(clientOf("http://127.0.0.1:9").currentUser())).toMatchObject({ code: "unavailable" });
  });

  test.each([
    ["no JSON", '{"resource": {"uri": ', { shape: "21 characters that are no JSON" }],
    ["another shape", '{"resource": {"email": "a@example.org"}}', { shape: "{resource: {email: string}}" }],
  ])("that answers %s is unreadable, and nothing of it is quoted", async (_, body, details) => {
    answers = () => [200, body];
    const error = await failing(clientOf(url).currentUser());
    expect(error).toMatchObject({ code: "unreadable_answer", details });
    expect(error.message + JSON.stringify(error.details)).not.toContain("example.org");
  });

  test.each([
    ["invitee.200", (client: CalendlyClient) => client.invitee(JSON.parse(sample("invitee.200")).resource.uri)],
    [
      "scheduled_event.200",
      (client: CalendlyClient) => client.scheduledEvent(JSON.parse(sample("scheduled_event.200")).resource.uri),
    ],
    ["users_me.200", (client: CalendlyClient) => client.currentUser()],
  ])("and one that answers as in the sample %s is understood", async (name, call) => {
    answers = () => [200, sample(name)];
    const { resource } = JSON.parse(sample(name));
    const understood = await call(clientOf(url));
    expect(understood).toMatchObject({ uri: resource.uri });
    // All that is understood is as it was said; what nobody asks for may be left out.
    expect(resource).toMatchObject(understood);
  });

  test("and lists as in the samples are read to their end", async () => {
    const page = JSON.parse(sample("invitees.list.200.page1"));
    const last = { ...page, pagination: { ...page.pagination, next_page_token: null } };
    answers = (n) => [200, JSON.stringify(n === 1 ? page : last)];
    const invitees = await all(clientOf(url).invitees("https://api.calendly.com/scheduled_events/X"));
    expect(page.pagination.next_page_token).not.toBeNull();
    expect(invitees).toHaveLength(page.collection.length * 2);
    answers = () => [200, sample("webhook_subscriptions.list.200")];
    const subscriptions = await all(clientOf(url).webhookSubscriptions({ organization: "o", scope: "organization" }));
    expect(subscriptions.map(({ state }) => state)).toEqual(["active", "disabled"]);
  });
});

describe("the samples of what Calendly refuses with", () => {
  test.each([
    ["error.400", 400, "invalid_argument"],
    ["error.401.expired", 401, "unauthenticated"],
    ["error.401.invalid", 401, "unauthenticated"],
    ["error.401.revoked", 401, "unauthenticated"],
    ["error.403.denied", 403, "permission_denied"],
    ["error.403.scope", 403, "insufficient_scope"],
    ["error.404", 404, "not_found"],
    ["error.409.webhook-exists", 409, "conflict"],
  ])("%s is %d, %s", (name, status, code) => {
    expect(errorOfAnswer("it", status, new Headers(), sample(name))).toMatchObject({ code });
  });
});
