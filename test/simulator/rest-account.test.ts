import { describe, expect, test } from "@jest/globals";
import { api, createHarness, LATER, PRIYA } from "./harness.ts";
import type { Simulator } from "./simulator.ts";

const { start, startBoth } = createHarness();

const pathOf = (uri: string) => new URL(uri).pathname;
const keysOf = (value: object) => Object.keys(value).toSorted().join(" ");
const INVITEE_KEYS =
  "cancel_url created_at email event first_name invitee_scheduled_by last_name name new_invitee no_show old_invitee payment questions_and_answers reconfirmation reschedule_url rescheduled routing_form_submission scheduling_method status text_reminder_number timezone tracking updated_at uri";
const EVENT_KEYS =
  "calendar_event created_at end_time event_guests event_memberships event_type invitees_counter location meeting_notes_html meeting_notes_plain name start_time status updated_at uri";

/** All items of a list, following the tokens of its pages. */
async function everyPage(simulator: Simulator, path: string) {
  const pages: (readonly (Readonly<Record<string, unknown>> & { readonly uri: string })[])[] = [];
  let token: string | null = null;
  do {
    const { body } = await api(simulator, token === null ? path : `${path}&page_token=${token}`);
    expect(body.pagination.count).toBe(body.collection.length);
    pages.push(body.collection);
    token = body.pagination.next_page_token;
  } while (token !== null && pages.length < 20);
  return pages;
}

describe("single things", () => {
  test("the user whom the token belongs to", async () => {
    const simulator = await start();
    const { admin, organization } = simulator.account.catalog;
    const { body } = await api(simulator, "/users/me");
    expect(body.resource).toMatchObject({ uri: admin.uri, current_organization: organization });
    expect(keysOf(body.resource)).toBe(
      "avatar_url created_at current_organization email locale name scheduling_url slug timezone updated_at uri",
    );
    simulator.setToken("hers", { user: "mara.lindqvist" });
    expect((await api(simulator, "/users/me", { token: "hers" })).body.resource["name"]).toBe("Mara Lindqvist");
  });

  test("an event with its buffers, an invitee without its event", async () => {
    const simulator = await start();
    const invitee = simulator.account.book(PRIYA);
    const event = await api(simulator, pathOf(invitee.event.uri));
    expect(keysOf(event.body.resource)).toBe(EVENT_KEYS);
    expect(event.body.resource["event_memberships"]).toEqual([
      {
        user: invitee.event.hosts[0]?.uri,
        user_email: "deji.okafor@northwind-demo.example",
        user_name: "Deji Okafor",
        buffered_start_time: "2030-01-15T14:45:00.000000Z",
        buffered_end_time: "2030-01-15T15:30:00.000000Z",
      },
    ]);
    const answer = await api(simulator, pathOf(invitee.uri));
    expect(keysOf(answer.body.resource)).toBe(INVITEE_KEYS);
    expect(answer.body.resource).toMatchObject({ uri: invitee.uri, email: PRIYA.email });
  });

  test.each([
    ["intro", "solo", null],
    ["webinar", "group", null],
    ["sales-call", "solo", "round_robin"],
    ["panel", "solo", "collective"],
  ])("the event type %s, deleted ones too", async (slug, kind, pooling_type) => {
    const simulator = await start();
    const { uri } = simulator.account.deleteEventType(slug);
    expect((await api(simulator, pathOf(uri))).body.resource).toMatchObject({
      uri,
      kind,
      pooling_type,
      active: false,
      deleted_at: expect.any(String),
    });
  });

  test.each(["/scheduled_events/none", "/event_types/none", "/webhook_subscriptions/none", "/nowhere"])(
    "404 where there is nothing: %s",
    async (path) => {
      expect(await api(await start(), path)).toMatchObject({
        status: 404,
        body: { title: "Resource Not Found", message: "The server could not find the requested resource." },
      });
    },
  );
});

describe("lists", () => {
  test("of events come in pages, filtered and sorted", async () => {
    const simulator = await start();
    for (let day = 10; day < 25; day++) simulator.account.book({ ...PRIYA, start: `2030-03-${day}T15:00:00Z` });
    const { organization } = simulator.account.catalog;
    const query = `organization=${organization}&count=6&sort=start_time:desc&min_start_time=2030-03-12T00:00:00Z`;
    const pages = await everyPage(simulator, `/scheduled_events?${query}`);
    expect(pages.map((page) => page.length)).toEqual([6, 6, 1]);
    const starts = pages.flat().map(({ start_time }) => start_time);
    expect(starts).toEqual([...new Set(starts)].toSorted().toReversed());
  });

  test("of events have 20 to a page unless told otherwise", async () => {
    const simulator = await start();
    for (let minute = 10; minute < 35; minute++)
      simulator.account.book({ ...PRIYA, start: `2030-03-10T15:${minute}:00Z` });
    const { organization } = simulator.account.catalog;
    const pages = await everyPage(simulator, `/scheduled_events?organization=${organization}`);
    expect(pages.map((page) => page.length)).toEqual([20, 5]);
  });

  test("of events are narrowed by user, invitee, status and time", async () => {
    const simulator = await start();
    const { account } = simulator;
    const { organization } = account.catalog;
    const mine = account.book(PRIYA);
    const hers = account.book({ ...PRIYA, eventType: "product-demo", email: "ana@example.org", start: LATER });
    account.cancel(hers.id);
    const found = async (filter: string) =>
      (await api(simulator, `/scheduled_events?${filter}`)).body.collection.map(({ uri }) => uri);
    expect(await found(`user=${hers.event.hosts[0]?.uri}`)).toEqual([hers.event.uri]);
    expect(await found(`organization=${organization}&invitee_email=${PRIYA.email}`)).toEqual([mine.event.uri]);
    expect(await found(`organization=${organization}&status=canceled`)).toEqual([hers.event.uri]);
    expect(await found(`organization=${organization}&max_start_time=${LATER}`)).toEqual([mine.event.uri]);
    expect(await found(`organization=${organization}`)).toEqual([mine.event.uri, hers.event.uri]);
  });

  test.each([
    ["included", "excluded", ["first", "second"]],
    ["included", "included", ["first", "second", "third"]],
    ["excluded", "excluded", ["second"]],
    ["excluded", "included", ["second", "third"]],
  ] as const)("of events have those at the beginning of a range %s, at its end %s", async (min, max, expected) => {
    const simulator = await start();
    simulator.setFaults({ minStartTime: min, maxStartTime: max });
    const { organization } = simulator.account.catalog;
    const days = { first: "2030-03-10", second: "2030-03-11", third: "2030-03-12" };
    const uris = Object.fromEntries(
      Object.entries(days).map(([name, day]) => {
        return [simulator.account.book({ ...PRIYA, start: `${day}T15:00:00Z` }).event.uri, name];
      }),
    );
    const range = `min_start_time=${days.first}T15:00:00Z&max_start_time=${days.third}T15:00:00Z`;
    const { body } = await api(simulator, `/scheduled_events?organization=${organization}&${range}`);
    expect(body.collection.map(({ uri }) => uris[uri])).toEqual(expected);
  });

  test("of invitees come in pages, by status, e-mail and age", async () => {
    const simulator = await start();
    const book = (name: string) =>
      simulator.account.book({ ...PRIYA, eventType: "webinar", name, email: `${name}@example.org` });
    const [ana, ben, eva] = [book("ana"), book("ben"), book("eva")];
    simulator.account.cancel(ben.id);
    const path = `${pathOf(ana.event.uri)}/invitees`;
    const found = async (filter: string) =>
      (await everyPage(simulator, `${path}?count=2${filter}`)).flat().map(({ uri }) => uri);
    expect(await found("")).toEqual([ana.uri, ben.uri, eva.uri]);
    expect(await found("&sort=created_at:desc")).toEqual([eva.uri, ben.uri, ana.uri]);
    expect(await found("&status=active")).toEqual([ana.uri, eva.uri]);
    expect(await found("&email=ben@example.org")).toEqual([ben.uri]);
  });

  test.each([
    ["", "organization"],
    ["organization=ORGANIZATION&count=0", "count"],
    ["organization=ORGANIZATION&count=101", "count"],
    ["organization=ORGANIZATION&status=gone", "status"],
    ["organization=ORGANIZATION&sort=name", "sort"],
    ["organization=ORGANIZATION&min_start_time=yesterday", "min_start_time"],
    ["organization=ORGANIZATION&page_token=made-up", "page_token"],
  ])("are refused with details: %s", async (query, parameter) => {
    const simulator = await start();
    const path = `/scheduled_events?${query.replace("ORGANIZATION", simulator.account.catalog.organization)}`;
    expect(await api(simulator, path)).toMatchObject({
      status: 400,
      body: {
        title: "Invalid Argument",
        message: "The supplied parameters are invalid.",
        details: [{ parameter, message: expect.any(String) }],
      },
    });
  });
});

describe("canceling an event", () => {
  test("ends it for all invitees and tells it, once", async () => {
    const { simulator, received } = await startBoth();
    const ana = simulator.account.book({ ...PRIYA, eventType: "webinar", name: "Ana" });
    simulator.account.book({ ...PRIYA, eventType: "webinar", name: "Ben" });
    const path = `${pathOf(ana.event.uri)}/cancellation`;
    const cancel = () => api(simulator, path, { method: "POST", body: { reason: "Ill" } });
    expect(await cancel()).toMatchObject({
      status: 201,
      body: { resource: { canceler_type: "host", reason: "Ill", canceled_by: "Mara Lindqvist" } },
    });
    await simulator.settled();
    expect(received.filter(({ delivery }) => delivery.event === "invitee.canceled")).toHaveLength(2);
    expect((await cancel()).status).toBe(403);
    expect((await api(simulator, "/scheduled_events/none/cancellation", { method: "POST" })).status).toBe(404);
  });
});

describe("available times", () => {
  const from = "2030-01-15T00:00:00Z";
  const timesOf = async (simulator: Simulator, slug: string, to = "2030-01-16T00:00:00Z") => {
    const type = simulator.account.catalog.eventTypes.find((candidate) => candidate.slug === slug);
    return api(simulator, `/event_type_available_times?event_type=${type?.uri}&start_time=${from}&end_time=${to}`);
  };

  test("leave out what is booked, and count a group's seats", async () => {
    const simulator = await start();
    simulator.account.book(PRIYA);
    simulator.account.book({ ...PRIYA, eventType: "webinar" });
    const intro = (await timesOf(simulator, "intro")).body.collection.map(({ start_time }) => start_time);
    expect(intro).toContain("2030-01-15T14:45:00.000000Z");
    expect(intro).not.toContain("2030-01-15T15:00:00.000000Z");
    const seats = (await timesOf(simulator, "webinar")).body.collection;
    expect(seats.map(({ invitees_remaining }) => invitees_remaining)).toEqual([50, 49, 50]);
    const panel = (await timesOf(simulator, "panel")).body.collection.map(({ start_time }) => start_time);
    expect(panel).not.toContain("2030-01-15T15:00:00.000000Z");
    const roundRobin = (await timesOf(simulator, "sales-call")).body.collection.map(({ start_time }) => start_time);
    expect(roundRobin).toContain("2030-01-15T15:00:00.000000Z");
  });

  test("are refused for the past and for more than 31 days", async () => {
    const simulator = await start();
    expect(await timesOf(simulator, "intro", "2030-02-15T00:00:01Z")).toMatchObject({
      status: 400,
      body: { details: [{ parameter: "end_time" }] },
    });
    const past = await start({ now: () => Date.parse("2031-01-01T00:00:00Z") });
    expect(await timesOf(past, "intro")).toMatchObject({
      status: 400,
      body: { details: [{ parameter: "start_time" }] },
    });
  });
});
