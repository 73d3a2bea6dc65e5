import { randomUUID } from "node:crypto";
import { outcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createOutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Validator } from "@seriousme/openapi-schema-validator";
import { createApiClient } from "../support/api-client.ts";
import { canceledBody, createdBody, type Invitee, MEETING, newInvitee } from "../support/bookings.ts";
import { deliver } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { METRICS_TOKEN, type Stack, scrape, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const OPS = "ops-token-of-the-tests";
const BILLING = "billing-token-of-the-tests";
const OTHERS = "others-token-of-the-tests";
const HOUR_MS = 3_600_000;
const EVENT_TYPE = "c3d4e5f6-0718-4293-a4b5-c6d7e8f91101";

let server: RedisServer;
let stack: Stack;
let api: ReturnType<typeof createApiClient>;
let baseUrl: string;
const people: Invitee[] = Array.from({ length: 3 }, () => newInvitee());

beforeAll(async () => {
  server = await startRedis();
  stack = await startStack(server.url, {
    OPS_API_TOKEN: OPS,
    CALENDLY_CONSUMER_TOKENS: `billing ${BILLING}, others ${OTHERS} ${randomUUID()}`,
  });
  baseUrl = String((await stack.worker.untilLogged("listening"))["url"]);
  api = createApiClient(baseUrl, OPS);
  const [first, second, third] = people as [Invitee, Invitee, Invitee];
  for (const person of people) await deliver(stack.ingest.webhookUrl, createdBody(person));
  await stack.outcomes.untilThere([`${third.id}.confirmed`]);
  await deliver(stack.ingest.webhookUrl, canceledBody(second));
  await stack.outcomes.untilThere([`${first.id}.confirmed`, `${second.id}.canceled`, `${third.id}.confirmed`]);
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

describe("whoever asks", () => {
  test.each([
    [undefined, "GET", "/api/bookings", 401, "token_missing"],
    ["another", "GET", "/api/bookings", 401, "token_unknown"],
    [BILLING, "GET", "/api/destinations", 403, "not_allowed"],
    [BILLING, "POST", "/api/expectations", 403, "not_allowed"],
    [OPS, "GET", "/api/nothing", 404, "not_found"],
    [OPS, "PUT", "/api/bookings", 405, "method_not_allowed"],
    [OPS, "GET", "/api/bookings?limit=1000", 400, "request_invalid"],
    [OPS, "GET", "/api/bookings?colour=red", 400, "request_invalid"],
    [OPS, "GET", "/api/bookings?after=xyz", 400, "cursor_invalid"],
    [OPS, "GET", "/api/outcomes?after=xyz", 400, "cursor_invalid"],
    [OPS, "GET", "/api/outcomes?type=booking.eaten", 400, "request_invalid"],
    [OPS, "GET", "/api/outcomes/stream?after=xyz", 400, "cursor_invalid"],
    [OPS, "GET", "/api/bookings/%E0%A4%A", 400, "request_invalid"],
    [OPS, "GET", "/api/destinations?colour=red", 400, "request_invalid"],
    [METRICS_TOKEN, "GET", "/api/bookings", 403, "not_allowed"],
    [OPS, "GET", "/api/bookings/unheard-of", 404, "not_found"],
    [OPS, "GET", "/api/expectations/unheard-of", 404, "not_found"],
    [OPS, "GET", "/api/destinations/unheard-of", 404, "not_found"],
    [OPS, "DELETE", "/api/destinations/unheard-of", 404, "not_found"],
  ])("with the token %p %s %s is answered %i %s, as a problem document", async (token, method, path, status, code) => {
    const answer = await createApiClient(baseUrl, token)(method, path);
    expect(answer).toMatchObject({
      status,
      type: expect.stringContaining("application/problem+json"),
      body: { status, code, type: `urn:calendly-worker:problem:${code}`, detail: expect.stringMatching(/\w/) },
    });
  });

  test.each([
    ["{", "body: expected JSON"],
    [{ reference: "x" }, "body.until"],
    [{ reference: "", until: "2026-12-01T00:00:00Z" }, "body.reference"],
  ])("who sends %j is told what was expected", async (body, said) => {
    const { status, body: problem } = await api("POST", "/api/expectations", body);
    expect(status).toBe(400);
    expect(problem.detail).toContain(said);
  });

  test("who sends too much is refused", async () => {
    expect(await api("POST", "/api/expectations", { reference: "x".repeat(70_000) })).toMatchObject({
      status: 413,
      body: { code: "body_too_large" },
    });
  });

  test.each([
    [415, "encoding_unsupported", { "content-encoding": "snappy" }],
    [415, "encoding_unsupported", { "content-type": "application/json; charset=klingon" }],
    [400, "request_invalid", { "content-encoding": "gzip" }],
  ])("a body that cannot be decoded is answered %i %s, and is no error of ours: %j", async (status, code, headers) => {
    const response = await fetch(`${baseUrl}/api/expectations`, {
      method: "POST",
      headers: { authorization: `Bearer ${OPS}`, "content-type": "application/json", ...headers },
      body: JSON.stringify({ reference: "x", until: "2026-12-01T00:00:00Z" }),
    });
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    expect(await response.json()).toMatchObject({ status, code, detail: expect.stringMatching(/\w/) });
    expect(response.status).toBe(status);
    expect(stack.worker.logs.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("who may see other event types alone sees none of these, only what must be forgotten", async () => {
    const limited = createApiClient(baseUrl, OTHERS);
    expect((await limited("GET", "/api/bookings")).body.bookings).toEqual([]);
    expect((await limited("GET", `/api/bookings?eventType=${EVENT_TYPE}`)).body).toEqual({ bookings: [], next: null });
    expect((await limited("GET", `/api/bookings/${people[0]?.id}`)).status).toBe(404);
    expect((await limited("GET", "/api/outcomes")).body.outcomes).toEqual([]);
    expect((await createApiClient(baseUrl, BILLING)("GET", "/api/outcomes")).body.outcomes).toHaveLength(4);
  });
});

describe("bookings", () => {
  const idsOf = async (query: string) =>
    (await api("GET", `/api/bookings?${query}`)).body.bookings.map(({ id }: { id: string }) => id).toSorted();
  const all = people.map(({ id }) => id).toSorted();
  const aSecondLater = Date.parse(MEETING.start) + 1_000;
  const at = (ms: number) => new Date(ms).toISOString();
  const [first, second, third] = people as [Invitee, Invitee, Invitee];

  test.each([
    ["", all],
    ["status=canceled", [second.id]],
    ["status=active", [first.id, third.id].toSorted()],
    [`host=${first.id}`, [first.id]],
    [`host=https://api.calendly.com/users/${first.id}`, [first.id]],
    [`eventType=${EVENT_TYPE}`, all],
    ["eventType=another", []],
    ["email=Priya.Nair%40acme-corp.example", all],
    ["email=somebody%40else.example", []],
    ["reference=order-1001", all],
    ["reference=order-1001&status=canceled", [second.id]],
    [`from=${MEETING.start}&to=${at(aSecondLater)}`, all],
    [`to=${MEETING.start}`, []],
    [`from=${at(aSecondLater + 2 * HOUR_MS).replace("Z", "%2B02:00")}`, []],
  ])("are found by ?%s", async (query, expected) => {
    expect(await idsOf(query)).toEqual(expected);
  });

  test("come in pages, each once", async () => {
    const found: string[] = [];
    let after = "";
    for (let pages = 0; pages < 10; pages++) {
      const { body } = await api("GET", `/api/bookings?limit=1&reference=order-1001${after}`);
      found.push(...body.bookings.map(({ id }: { id: string }) => id));
      if (body.next === null) break;
      after = `&after=${body.next}`;
      expect((await api("GET", `/api/bookings?limit=1${after}`)).body.code).toBe("cursor_invalid");
    }
    expect(found.toSorted()).toEqual(all);
  });

  test("show one as it is, with its log", async () => {
    const { body } = await api("GET", `/api/bookings/${second.id}`);
    expect(body).toMatchObject({
      booking: { id: second.id, status: "canceled", sequence: 2, reference: "order-1001" },
      log: [
        { id: `${second.id}.confirmed`, type: "booking.confirmed", isTold: true },
        { id: `${second.id}.canceled`, type: "booking.canceled", isTold: true },
      ],
    });
  });

  test("follow a reschedule: found by either invitee, by the new time alone", async () => {
    const [old, next] = [newInvitee(), newInvitee()];
    await deliver(stack.ingest.webhookUrl, createdBody(old));
    await deliver(stack.ingest.webhookUrl, canceledBody(old, { next }));
    await deliver(stack.ingest.webhookUrl, createdBody(next, old));
    await stack.outcomes.untilThere([`${next.id}.rescheduled`]);
    for (const { id } of [old, next]) {
      expect((await api("GET", `/api/bookings/${id}`)).body.booking.id).toBe(old.id);
    }
    expect(await idsOf(`host=${next.id}`)).toEqual([old.id]);
    expect(await idsOf(`host=${old.id}`)).toEqual([]);
  });
});

describe("outcomes", () => {
  test("are read after a cursor, each once, as they are in the stream", async () => {
    const expected = (await stack.outcomes.all()).map(({ id }) => id);
    const found: string[] = [];
    let next = "";
    for (let hasMore = true; hasMore; ) {
      const { body } = await api("GET", `/api/outcomes?limit=2${next && `&after=${next}`}`);
      for (const event of body.outcomes) found.push(outcomeEvent.parse(event).id);
      ({ next, hasMore } = body);
    }
    expect(found).toEqual(expected);
    const rest = await api("GET", `/api/outcomes?after=${next}`);
    expect(rest.body).toEqual({ outcomes: [], next, hasMore: false });
    const canceled = await api("GET", "/api/outcomes?type=booking.canceled");
    expect(canceled.body.outcomes.map(({ type }: { type: string }) => type)).toEqual(["booking.canceled"]);
  });

  test("that were dropped are said to be missing, with what is left", async () => {
    const shards = createShards(1);
    const { body } = await api("GET", "/api/outcomes?limit=1");
    const maxAge = { retentionDays: 1, maxAgeDays: 1, now: () => Date.now() + 2 * 86_400_000 };
    await createOutcomeTrimmer({ redis: stack.redis, ...maxAge }).trim(shards.first);
    const person = newInvitee();
    await deliver(stack.ingest.webhookUrl, createdBody(person));
    await stack.outcomes.untilThere([`${person.id}.confirmed`]);
    const expired = await api("GET", `/api/outcomes?after=${body.next}`);
    expect(expired).toMatchObject({
      status: 410,
      body: { code: "cursor_expired", oldest: expect.stringMatching(/^\d+-\d+$/) },
    });
    expect((await api("GET", `/api/outcomes/stream?after=${body.next}`)).status).toBe(410);
    const going = await api("GET", `/api/outcomes?after=${expired.body.cursor}`);
    expect(going.body.outcomes.map(({ id }: { id: string }) => id)).toEqual([`${person.id}.confirmed`]);
  });
});

describe("expectations", () => {
  const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();
  const bookingWith = (reference: string) => {
    const person = newInvitee();
    return { person, body: createdBody(person).replace("order-1001", reference) };
  };

  test("are completed by the booking that comes after", async () => {
    const reference = `r-${randomUUID()}`;
    const announced = await api("POST", "/api/expectations", { reference, until: inAnHour() });
    expect(announced).toMatchObject({ status: 200, body: { reference, state: "waiting", bookingId: null } });
    const again = await api("POST", "/api/expectations", { reference, until: announced.body.until });
    expect(again.body).toEqual(announced.body);
    const { person, body } = bookingWith(reference);
    await deliver(stack.ingest.webhookUrl, body);
    const completed = await until("it is completed", async () => {
      const found = await api("GET", `/api/expectations/${reference}`);
      return found.body.state === "completed" && found.body;
    });
    expect(completed.bookingId).toBe(person.id);
  });

  test("are completed by the booking that came before", async () => {
    const reference = `r-${randomUUID()}`;
    const { person, body } = bookingWith(reference);
    await deliver(stack.ingest.webhookUrl, body);
    await stack.outcomes.untilThere([`${person.id}.confirmed`]);
    const announced = await api("POST", "/api/expectations", { reference, until: inAnHour() });
    expect(announced.body).toMatchObject({ state: "completed", bookingId: person.id });
  });

  test("expire, which is told once; a booking that comes too late is written down", async () => {
    const reference = `r-${randomUUID()}`;
    const past = new Date(Date.now() - 1_000).toISOString();
    const announced = await api("POST", "/api/expectations", { reference, until: past });
    expect(announced.body.state).toBe("waiting");
    const id = `${reference}.expectation_expired.${past}`;
    const events = await stack.outcomes.untilThere([id], 40_000);
    const told = events.filter((event) => event.subject === reference);
    expect(told).toHaveLength(1);
    expect(outcomeEvent.parse(told[0])).toMatchObject({
      type: "booking.expectation_expired",
      data: { expectation: { reference, until: past, announcedAt: announced.body.announcedAt } },
    });
    const { person, body } = bookingWith(reference);
    await deliver(stack.ingest.webhookUrl, body);
    const late = await until("the late one is written down", async () => {
      const found = await api("GET", `/api/expectations/${reference}`);
      return found.body.bookingId !== null && found.body;
    });
    expect(late).toMatchObject({ state: "expired", bookingId: person.id });
    const metrics = await scrape(baseUrl);
    expect(metrics).toContain('calendly_expectations{state="expired"} 1');
    expect(metrics).toMatch(/calendly_outcomes_group_lag_seconds\{group="push",shard="0"\} \d/);
  });
});

describe("the OpenAPI document", () => {
  test("passes a public validator", async () => {
    const { body } = await api("GET", "/api/openapi.json");
    expect(await new Validator().validate(structuredClone(body))).toMatchObject({ valid: true });
    const broken = { ...body, paths: { "/x": { get: { responses: 5 } } } };
    expect(await new Validator().validate(broken)).toMatchObject({ valid: false });
  });

  test("says of each operation what else it may answer", async () => {
    const { body } = await api("GET", "/api/openapi.json");
    const operations = Object.values<Record<string, { requestBody?: object; responses: object }>>(body.paths).flatMap(
      (path) => Object.values(path),
    );
    expect(operations.length).toBeGreaterThan(10);
    for (const { requestBody, responses } of operations) {
      const ofBodies = requestBody === undefined ? [] : ["413", "415"];
      expect(Object.keys(responses)).toEqual(
        expect.arrayContaining(["400", "401", "403", "429", "500", "503", ...ofBodies]),
      );
    }
  });

  test("is served as a page that needs nothing from elsewhere", async () => {
    const response = await fetch(`${baseUrl}/api/docs`, { headers: { authorization: `Bearer ${OPS}` } });
    const html = await response.text();
    expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; style-src 'sha256-[^']+';/);
    expect(html).toContain("GET /api/outcomes/stream");
    expect(html).not.toMatch(/<script|src=|https?:/);
  });
});

test("while Redis is away one is told so, and again when it is back", async () => {
  await server.freeze();
  const away = await api("GET", "/api/outcomes");
  await server.thaw();
  expect(away).toMatchObject({ status: 503, body: { code: "redis_unavailable" } });
  await until("it answers again", async () => (await api("GET", "/api/outcomes")).status === 200);
});
