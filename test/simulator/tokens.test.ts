import { describe, expect, test } from "@jest/globals";
import { until } from "../support/until.ts";
import { api, createHarness } from "./harness.ts";
import { DEMO_TOKEN } from "./simulator.ts";

const { start } = createHarness();

describe("a token", () => {
  test.each([
    ["expired", "The access token expired"],
    ["revoked", "The access token was revoked"],
    ["invalid", "The access token is invalid"],
  ] as const)("that is %s is answered 401 in its own words", async (state, message) => {
    const simulator = await start();
    simulator.setToken("old", { state });
    const refused = { status: 401, body: { title: "Unauthenticated", message } };
    expect(await api(simulator, "/users/me", { token: "old" })).toMatchObject(refused);
    simulator.setToken("old", { state: "valid" });
    expect((await api(simulator, "/users/me", { token: "old" })).status).toBe(200);
  });

  test("that is unknown or not given is invalid", async () => {
    const simulator = await start();
    expect((await api(simulator, "/users/me", { token: "unknown" })).body.message).toBe("The access token is invalid");
    expect((await fetch(`${simulator.url}/users/me`)).status).toBe(401);
  });

  test("given at the start is the only valid one", async () => {
    const simulator = await start({ token: "mine" });
    expect((await api(simulator, "/users/me", { token: "mine" })).status).toBe(200);
    expect((await api(simulator, "/users/me")).status).toBe(401);
  });
});

describe("scopes", () => {
  test.each([
    ["GET", "/users/me", ["users:read"]],
    ["GET", "/webhook_subscriptions", ["webhooks:read"]],
    ["POST", "/webhook_subscriptions", ["webhooks:write"]],
    ["DELETE", "/webhook_subscriptions/x", ["webhooks:write"]],
    ["GET", "/sample_webhook_data", ["webhooks:read"]],
    ["GET", "/scheduled_events", ["scheduled_events:read"]],
    ["GET", "/scheduled_events/x", ["scheduled_events:read"]],
    ["GET", "/scheduled_events/x/invitees", ["scheduled_events:read"]],
    ["GET", "/scheduled_events/x/invitees/y", ["scheduled_events:read"]],
    ["POST", "/scheduled_events/x/cancellation", ["scheduled_events:write"]],
    ["GET", "/event_types/x", ["event_types:read"]],
    ["GET", "/event_type_available_times", ["availability:read", "event_types:read"]],
  ])("%s %s needs %j, and says so", async (method, path, required_scopes) => {
    const simulator = await start();
    simulator.setToken("bare", { scopes: [] });
    expect(await api(simulator, path, { method, token: "bare" })).toMatchObject({
      status: 403,
      body: {
        title: "Insufficient scope",
        message: "This operation requires the scopes listed in the 'required_scopes' array.",
        required_scopes,
      },
    });
    simulator.setToken("bare", { scopes: required_scopes });
    expect((await api(simulator, path, { method, token: "bare" })).status).not.toBe(403);
  });

  test("to write include those to read", async () => {
    const simulator = await start();
    simulator.setToken("writer", { scopes: ["webhooks:write"] });
    const { organization } = simulator.account.catalog;
    const path = `/webhook_subscriptions?organization=${organization}&scope=organization`;
    expect((await api(simulator, path, { token: "writer" })).status).toBe(200);
  });

  test("of each family are needed to subscribe to it", async () => {
    const simulator = await start();
    simulator.setToken("writer", { scopes: ["webhooks:write", "event_types:read"] });
    const body = { events: ["event_type.updated", "routing_form_submission.created"] };
    const options = { method: "POST", token: "writer", body };
    expect(await api(simulator, "/webhook_subscriptions", options)).toMatchObject({
      status: 403,
      body: { required_scopes: ["webhooks:write", "event_types:read", "routing_forms:read"] },
    });
  });
});

describe("the rate limit", () => {
  test("is told on every answer, shared by a user's tokens, and ends in 429 until the next window", async () => {
    const simulator = await start({ rateLimit: 3, speed: 60 });
    simulator.setToken("second");
    const answers = [];
    for (const [token, path] of [
      [DEMO_TOKEN, "/users/me"],
      ["second", "/nowhere"],
      [DEMO_TOKEN, "/scheduled_events"],
      ["second", "/users/me"],
    ] as const)
      answers.push(await api(simulator, path, { token }));
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 400, 429]);
    expect(answers.map(({ header }) => header("x-ratelimit-remaining"))).toEqual(["2", "1", "0", "0"]);
    // A minute of the schedule is a second here, and a second is what one has to wait.
    for (const { header } of answers)
      expect([header("x-ratelimit-limit"), header("x-ratelimit-reset")]).toEqual(["3", "1"]);
    await until("the next window has begun", async () => (await api(simulator, "/users/me")).status === 200);
  });

  test("is another one for another user, and for those without a token", async () => {
    const simulator = await start({ rateLimit: 2 });
    simulator.setToken("hers", { user: "sol.herrera" });
    const remaining = async (token: string) =>
      (await api(simulator, "/users/me", { token })).header("x-ratelimit-remaining");
    expect(await remaining(DEMO_TOKEN)).toBe("1");
    expect(await remaining("hers")).toBe("1");
    expect(await remaining("unknown")).toBe("1");
    expect(await remaining(DEMO_TOKEN)).toBe("0");
  });
});
