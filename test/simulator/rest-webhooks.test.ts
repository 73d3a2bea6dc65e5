import { describe, expect, test } from "@jest/globals";
import { api, createHarness, PRIYA } from "./harness.ts";
import type { Simulator } from "./simulator.ts";

const { start } = createHarness();

const PATH = "/webhook_subscriptions";
const wantedAt = ({ account }: Simulator, change: object = {}) => ({
  url: "http://127.0.0.1:9/hook",
  events: ["invitee.created"],
  organization: account.catalog.organization,
  scope: "organization",
  signing_key: "a-key-not-a-secret",
  ...change,
});
const create = (simulator: Simulator, change: object = {}, token?: string) =>
  api(simulator, PATH, { method: "POST", body: wantedAt(simulator, change), ...(token && { token }) });

describe("a subscription", () => {
  test("is made and shown with every key but that of the signature", async () => {
    const simulator = await start();
    const { organization, admin } = simulator.account.catalog;
    const created = await create(simulator);
    expect(created.status).toBe(201);
    expect(created.body.resource).toEqual({
      uri: expect.stringContaining("/webhook_subscriptions/"),
      callback_url: "http://127.0.0.1:9/hook",
      created_at: expect.any(String),
      updated_at: created.body.resource["created_at"],
      retry_started_at: null,
      state: "active",
      events: ["invitee.created"],
      scope: "organization",
      organization,
      user: null,
      group: null,
      creator: admin.uri,
    });
    const one = await api(simulator, new URL(created.body.resource.uri).pathname);
    expect(one).toMatchObject({ status: 200, body: created.body });
    const list = await api(simulator, `${PATH}?organization=${organization}&scope=organization`);
    expect(list.body).toMatchObject({ collection: [created.body.resource], pagination: { count: 1 } });
  });

  test("is taken once for an address and an owner; another query string is another address", async () => {
    const simulator = await start();
    const [mara] = simulator.account.catalog.hosts;
    expect((await create(simulator)).status).toBe(201);
    expect(await create(simulator)).toMatchObject({
      status: 409,
      body: { title: "Already Exists", message: "Hook with this url already exists" },
    });
    expect((await create(simulator, { url: "http://127.0.0.1:9/hook?g=2" })).status).toBe(201);
    const ofUser = { scope: "user", user: mara?.uri };
    expect((await create(simulator, ofUser)).status).toBe(201);
    expect((await create(simulator, ofUser)).status).toBe(409);
  });

  test("of the organization is nobody's own, even where a user is named", async () => {
    const simulator = await start();
    const user = simulator.account.catalog.hosts[0]?.uri;
    expect((await create(simulator, { user })).body.resource).toMatchObject({ scope: "organization", user: null });
    expect((await create(simulator)).status).toBe(409);
  });

  test("has no update, and is gone once it is deleted", async () => {
    const simulator = await start();
    const path = new URL((await create(simulator)).body.resource.uri).pathname;
    for (const method of ["PATCH", "PUT", "POST"])
      expect((await api(simulator, path, { method, body: { events: ["invitee.canceled"] } })).status).toBe(404);
    expect((await api(simulator, path, { method: "DELETE" })).status).toBe(204);
    expect((await api(simulator, path, { method: "DELETE" })).status).toBe(404);
    expect((await api(simulator, path)).status).toBe(404);
    expect((await create(simulator)).status).toBe(201);
  });

  test.each([
    ["invitee.rescheduled does not exist", { events: ["invitee.created", "invitee.rescheduled"] }, "events"],
    ["there is no event at all", { events: [] }, "events"],
    ["the address is none", { url: "hook" }, "url"],
    ["the organization is missing", { organization: undefined }, "organization"],
    ["the scope is missing", { scope: undefined }, "scope"],
    ["a user is needed for that scope", { scope: "user" }, "user"],
  ])("is refused: %s", async (_, change, parameter) => {
    expect(await create(await start(), change)).toMatchObject({
      status: 400,
      body: { title: "Invalid Argument", details: [{ parameter, message: expect.any(String) }] },
    });
  });

  test("is refused where its scope does not have the event", async () => {
    const simulator = await start();
    const ofUser = { scope: "user", user: simulator.account.catalog.hosts[0]?.uri };
    const refused = { status: 400, body: { details: [{ parameter: "events" }] } };
    expect(await create(simulator, { ...ofUser, events: ["routing_form_submission.created"] })).toMatchObject(refused);
    expect(await create(simulator, { events: ["meeting_recap.created"] })).toMatchObject(refused);
  });

  test("for another organization, or for the whole of it by somebody else than an admin, is not permitted", async () => {
    const simulator = await start();
    const denied = { status: 403, body: { title: "Permission Denied", message: "You do not have permission" } };
    const organization = "https://api.calendly.com/organizations/another";
    expect(await create(simulator, { organization })).toMatchObject(denied);
    simulator.setToken("hers", { user: "mara.lindqvist" });
    expect(await create(simulator, {}, "hers")).toMatchObject(denied);
    const user = simulator.account.catalog.hosts[0]?.uri;
    const hers = await create(simulator, { scope: "user", user }, "hers");
    expect(hers).toMatchObject({ status: 201, body: { resource: { creator: user } } });
  });

  test("list needs organization and scope", async () => {
    const simulator = await start();
    expect(await api(simulator, PATH)).toMatchObject({
      status: 400,
      body: {
        details: [
          { parameter: "organization", message: "is missing" },
          { parameter: "scope", message: "is missing or invalid" },
        ],
      },
    });
  });
});

describe("sample data", () => {
  const sampleOf = (simulator: Simulator, event: string) => {
    const { organization } = simulator.account.catalog;
    return api(simulator, `/sample_webhook_data?event=${event}&organization=${organization}&scope=organization`);
  };

  test.each([
    "invitee.created",
    "invitee.canceled",
    "invitee_no_show.created",
    "invitee_no_show.deleted",
    "routing_form_submission.created",
    "event_type.created",
    "event_type.updated",
    "event_type.deleted",
  ])("of %s is a bare envelope, without anything happening", async (event) => {
    const simulator = await start();
    const { status, body } = await sampleOf(simulator, event);
    expect(status).toBe(200);
    expect(body).toEqual({
      event,
      created_at: expect.any(String),
      created_by: simulator.account.catalog.admin.uri,
      payload: expect.objectContaining({ uri: expect.any(String) }),
    });
    expect(simulator.account.history()).toEqual([]);
    expect((await start()).account.book(PRIYA).uri).toBe(simulator.account.book(PRIYA).uri);
  });

  test("of an event that does not exist is refused", async () => {
    expect(await sampleOf(await start(), "invitee.rescheduled")).toMatchObject({
      status: 400,
      body: { details: [{ parameter: "event" }] },
    });
  });
});
