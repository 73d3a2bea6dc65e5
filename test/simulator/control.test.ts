import { describe, expect, test } from "@jest/globals";
import { connectSimulator } from "./control-client.ts";
import { api, createHarness, eventsOf, KEY, LATER, PRIYA } from "./harness.ts";

const { start, startBoth, startReceiver } = createHarness();

describe("the control client", () => {
  test("does from outside what can be done inside, and sees the same", async () => {
    const receiver = await startReceiver();
    const simulator = await start();
    const client = connectSimulator(simulator.url);
    await client.subscribe({ url: receiver.url, signingKey: KEY });
    const { uri: form } = await client.submitRoutingForm({
      answers: [{ question: "Team size", answer: "1" }],
      eventType: "sales-call",
    });
    const booked = await client.book({
      ...PRIYA,
      eventType: "sales-call",
      host: "sol.herrera",
      timezone: "Asia/Calcutta",
      answers: [{ question: "Company name", answer: "Acme Corp" }],
      tracking: { utm_source: "newsletter" },
      routingFormSubmission: form,
    });
    await client.markNoShow({ invitee: booked.invitee });
    await client.clearNoShow({ invitee: booked.invitee });
    const moved = await client.reschedule({ invitee: booked.invitee, start: LATER, reason: "Busy" });
    await client.cancel({ invitee: moved.invitee, by: "host" });
    const seat = await client.book({ ...PRIYA, eventType: "webinar" });
    expect(await client.cancelEvent({ event: seat.event })).toMatchObject({ event: seat.event, status: "canceled" });
    await client.createEventType({ name: "Deep Dive", slug: "deep-dive", minutes: 90 });
    await client.updateEventType({ eventType: "deep-dive", active: false });
    await client.deleteEventType({ eventType: "deep-dive" });
    await client.settled();

    const history = await client.history();
    expect(history).toEqual(JSON.parse(JSON.stringify(simulator.account.history())));
    expect(history.map(({ event }) => event)).toEqual([
      "routing_form_submission.created",
      "invitee.created",
      "invitee_no_show.created",
      "invitee_no_show.deleted",
      "invitee.canceled",
      "invitee.created",
      "invitee.canceled",
      "invitee.created",
      "invitee.canceled",
      "event_type.created",
      "event_type.updated",
      "event_type.deleted",
    ]);
    expect(history[1]?.payload).toMatchObject({
      uri: booked.uri,
      timezone: "Asia/Calcutta",
      questions_and_answers: [{ question: "Company name", answer: "Acme Corp", position: 0 }],
      tracking: { utm_source: "newsletter" },
      routing_form_submission: form,
      scheduled_event: { event_memberships: [{ user_name: "Sol Herrera" }] },
    });
    expect(await client.attempts()).toEqual(JSON.parse(JSON.stringify(simulator.attempts())));
    expect(eventsOf(receiver.received).toSorted()).toEqual(history.map(({ event }) => event).toSorted());
  });

  test("reads the attempts after a number, with all there is to know of each", async () => {
    const { simulator, subscription } = await startBoth();
    const client = connectSimulator(simulator.url);
    await client.book(PRIYA);
    await client.settled();
    const { uri } = await client.book({ ...PRIYA, start: LATER });
    await client.settled();
    expect(await client.attempts(1)).toEqual([
      {
        number: 2,
        event: "invitee.created",
        about: uri,
        subscription: subscription.uri,
        attempt: 1,
        sentAt: expect.stringMatching(/^\d{4}-.*Z$/),
        t: expect.any(Number),
        status: 200,
        body: { status: "accepted" },
        ms: expect.any(Number),
      },
    ]);
  });

  test("changes faults and tokens, and tells what they are then", async () => {
    const { simulator, received } = await startBoth();
    const client = connectSimulator(simulator.url);
    expect(await client.setFaults({ reorder: 5, duplicate: 2 })).toMatchObject({ reorder: 5, duplicate: 2, drop: 0 });
    await client.book(PRIYA);
    await expect(client.settled({ timeoutMs: 0 })).rejects.toThrow("invitee.created of");
    await client.release();
    await client.settled();
    expect(received).toHaveLength(2);
    const change = { token: "second", state: "revoked", user: "mara.lindqvist" } as const;
    expect(await client.setToken(change)).toMatchObject({ state: "revoked", user: "mara.lindqvist" });
    expect((await api(simulator, "/users/me", { token: "second" })).status).toBe(401);
  });
});

describe("the index", () => {
  test("names what there is and every call, and no key", async () => {
    const { simulator, subscription } = await startBoth();
    const state = await connectSimulator(simulator.url).state();
    expect(state.hosts.map(({ slug }) => slug)).toEqual(["mara.lindqvist", "deji.okafor", "sol.herrera"]);
    expect(state.eventTypes.map(({ slug }) => slug)).toContain("webinar");
    expect(state.subscriptions).toMatchObject([{ uri: subscription.uri, state: "active" }]);
    for (const call of ["book", "cancel", "reschedule", "no-show", "no-show/clear", "routing-form", "faults", "tokens"])
      expect(state.calls.POST.join("\n")).toContain(`/_simulator/${call} {`);
    expect(JSON.stringify(state)).not.toContain(KEY);
  });
});

describe("what is asked wrongly is answered with what was expected and what came", () => {
  const post = async (url: string, path: string, body: string) => {
    const response = await fetch(`${url}/_simulator${path}`, { method: "POST", body });
    return { status: response.status, error: ((await response.json()) as { error: string }).error };
  };

  test.each([
    ["/book", '{"start":5}', /eventType: .*expected string.*start: .*expected string.*number, got 5/],
    ["/book", '{"dinner":"late"}', /Unrecognized key: "dinner"/],
    [
      "/book",
      JSON.stringify({ ...PRIYA, eventType: "dinner" }),
      /no event type "dinner"; there are product-demo, intro/,
    ],
    ["/book", "{", /expected JSON: /],
    ["/cancel", '{"invitee":"nobody"}', /there is no invitee "nobody"/],
    ["/cancel", '{"invitee":"x","by":"dog"}', /by: .*"invitee"\|"host", got "dog"/],
    ["/faults", '{"duplicate":0}', /duplicate: .*>=1, got 0/],
    ["/tokens", '{"token":"x","user":"nobody"}', /there is no user "nobody"; there are calendly-admin/],
    ["/subscribe", '{"url":"x","signingKey":7}', /url: Invalid URL, got "x"; signingKey: .*expected string/],
  ])("%s %s", async (path, body, sentence) => {
    const { url } = await start();
    const answer = await post(url, path, body);
    expect(answer).toEqual({ status: 400, error: expect.stringMatching(sentence) });
  });

  test("a call that there is not is answered 404 with those that there are", async () => {
    const { url } = await start();
    const { status, error } = await post(url, "/dance", "{}");
    expect({ status, error }).toEqual({ status: 404, error: "there is no POST /_simulator/dance" });
    expect((await fetch(`${url}/_simulator/attempts?after=x`)).status).toBe(400);
  });

  test("the client rejects with that sentence", async () => {
    const client = connectSimulator((await start()).url);
    await expect(client.book({ ...PRIYA, start: "tomorrow" })).rejects.toThrow(
      'the simulator refused /book: expected start as an ISO 8601 time, got "tomorrow"',
    );
  });
});
