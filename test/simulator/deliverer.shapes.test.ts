import { describe, expect, test } from "@jest/globals";
import { createHarness, KEY, LATER, PRIYA, type Received } from "./harness.ts";
import { signatureHeader } from "./signature.ts";

const { startBoth } = createHarness();

const ENVELOPE = "created_at created_by event payload".split(" ");
const INVITEE =
  "cancel_url created_at email event first_name invitee_scheduled_by last_name name new_invitee no_show old_invitee payment questions_and_answers reconfirmation reschedule_url rescheduled routing_form_submission scheduled_event scheduling_method status text_reminder_number timezone tracking updated_at uri".split(
    " ",
  );
const EVENT =
  "created_at end_time event_guests event_memberships event_type invitees_counter location name start_time status updated_at uri".split(
    " ",
  );
const ROUTING_FORM =
  "created_at questions_and_answers result routing_form submitter submitter_type tracking updated_at uri".split(" ");
const EVENT_TYPE =
  "active admin_managed booking_method color created_at custom_questions deleted_at description_plain duration duration_options internal_note is_paid kind locale locations name pooling_type position profile scheduling_url secret slug type updated_at uri".split(
    " ",
  );
const NOTES = ["meeting_notes_html", "meeting_notes_plain"];

const keysOf = (value: unknown) => Object.keys(value as object).toSorted();
const sorted = (...keys: string[][]) => keys.flat().toSorted();

function payloadOf(received: readonly Received[], event: string, uri?: string) {
  const found = received.find(
    ({ delivery }) => delivery.event === event && (uri === undefined || delivery.payload["uri"] === uri),
  );
  if (found === undefined) throw new Error(`no ${event} of ${uri} came`);
  return found.delivery.payload;
}

test("a delivery comes as Calendly sends it: POST, JSON, signed over the very bytes", async () => {
  const { simulator, received } = await startBoth();
  simulator.account.book({ ...PRIYA, name: "Zoë ☕" });
  await simulator.settled();
  const [first] = received;
  const signature = String(first?.headers["calendly-webhook-signature"]);
  const t = Number(/^t=(\d+),v1=[0-9a-f]{64}$/.exec(signature)?.[1]);
  expect(signature).toBe(signatureHeader(KEY, t, first?.text ?? ""));
  expect(Math.abs(t - Date.now() / 1_000)).toBeLessThan(5);
  expect(first?.method).toBe("POST");
  expect(first?.headers).toMatchObject({ "content-type": "application/json", "user-agent": "Calendly" });
  expect(keysOf(first?.delivery)).toEqual(ENVELOPE);
  expect(first?.delivery.created_by).toBe(simulator.account.catalog.admin.uri);
});

describe("every key that Calendly sends is there, and no other", () => {
  test("for invitees and no-shows", async () => {
    const { simulator, received } = await startBoth();
    const { id } = simulator.account.book(PRIYA);
    simulator.account.markNoShow(id);
    simulator.account.clearNoShow(id);
    simulator.account.cancel(id, "host", "");
    await simulator.settled();
    for (const event of ["invitee.created", "invitee_no_show.created", "invitee_no_show.deleted"]) {
      const payload = payloadOf(received, event);
      expect(keysOf(payload)).toEqual(INVITEE);
      expect(keysOf(payload.scheduled_event)).toEqual(EVENT);
      expect(payload).toMatchObject({ status: "active", first_name: null, old_invitee: null, payment: null });
    }
    const canceled = payloadOf(received, "invitee.canceled");
    expect(keysOf(canceled)).toEqual(sorted(INVITEE, ["cancellation"]));
    expect(keysOf(canceled.scheduled_event)).toEqual(sorted(EVENT, ["cancellation"]));
    expect(keysOf(canceled["tracking"])).toEqual(
      "salesforce_uuid utm_campaign utm_content utm_medium utm_source utm_term".split(" "),
    );
    expect(payloadOf(received, "invitee_no_show.created")["no_show"]).toEqual({
      uri: expect.stringContaining("/invitee_no_shows/"),
      created_at: expect.any(String),
    });
    expect(payloadOf(received, "invitee_no_show.deleted")["no_show"]).toBeNull();
  });

  test("for an event with notes", async () => {
    const { simulator, received } = await startBoth();
    simulator.account.book({ ...PRIYA, notes: "Ask about seat count." });
    await simulator.settled();
    const { scheduled_event } = payloadOf(received, "invitee.created");
    expect(keysOf(scheduled_event)).toEqual(sorted(EVENT, NOTES));
  });

  test("for routing forms and event types", async () => {
    const { simulator, received } = await startBoth();
    const { account } = simulator;
    const form = account.submitRoutingForm([{ question: "Team size", answer: "51-200" }], "intro");
    account.book({ ...PRIYA, routingFormSubmission: form });
    account.createEventType({ name: "Deep Dive", slug: "deep-dive", minutes: 90 });
    account.updateEventType("deep-dive", { name: "Deeper Dive" });
    account.deleteEventType("deep-dive");
    await simulator.settled();
    expect(keysOf(payloadOf(received, "routing_form_submission.created"))).toEqual(ROUTING_FORM);
    expect(payloadOf(received, "invitee.created")).toMatchObject({ routing_form_submission: form });
    const types = ["created", "updated", "deleted"].map((what) => payloadOf(received, `event_type.${what}`));
    for (const type of types) expect(keysOf(type)).toEqual(EVENT_TYPE);
    expect(types.map(({ name, active, deleted_at }) => [name, active, deleted_at])).toEqual([
      ["Deep Dive", true, null],
      ["Deeper Dive", true, null],
      ["Deeper Dive", false, expect.any(String)],
    ]);
  });
});

test("a host's cancellation names the host and ends the event", async () => {
  const { simulator, received } = await startBoth();
  simulator.account.cancel(simulator.account.book(PRIYA).id, "host", "");
  await simulator.settled();
  const cancellation = { canceled_by: "Deji Okafor", canceler_type: "host", reason: "" };
  expect(payloadOf(received, "invitee.canceled")).toMatchObject({
    status: "canceled",
    rescheduled: false,
    new_invitee: null,
    cancellation,
    scheduled_event: { status: "canceled", cancellation, invitees_counter: { total: 1, active: 0, limit: 1 } },
  });
});

test("a reschedule is two halves that name each other, and the middle of a chain carries both links", async () => {
  const { simulator, received } = await startBoth();
  const { account } = simulator;
  const first = account.book({ ...PRIYA, tracking: { utm_content: "order-1001" } });
  const chain = [first];
  for (const day of ["16", "17", "18"])
    chain.push(account.reschedule(chain.at(-1)?.id ?? "", `2030-01-${day}T15:00:00Z`, "Busy"));
  await simulator.settled();
  expect(new Set(chain.map(({ event }) => event.uri)).size).toBe(4);
  for (const [position, { uri }] of chain.entries()) {
    const [before, after] = [chain[position - 1], chain[position + 1]];
    expect(payloadOf(received, "invitee.created", uri)).toMatchObject({
      status: "active",
      rescheduled: false,
      old_invitee: before?.uri ?? null,
      new_invitee: null,
      tracking: { utm_content: "order-1001", utm_source: null },
    });
    if (after === undefined) continue;
    expect(payloadOf(received, "invitee.canceled", uri)).toMatchObject({
      status: "canceled",
      rescheduled: true,
      old_invitee: before?.uri ?? null,
      new_invitee: after.uri,
      cancellation: { canceled_by: "Priya Nair", canceler_type: "invitee", reason: "Busy" },
    });
  }
});

test("invitees of a group share its event: one who leaves does not end it, canceling it ends it for all", async () => {
  const { simulator, received } = await startBoth();
  const book = (name: string, start = PRIYA.start) =>
    simulator.account.book({ ...PRIYA, eventType: "webinar", name, start });
  const [ana, ben, eva] = [book("Ana Costa"), book("Ben Otis"), book("Eva Lind")];
  const other = book("Ida Ek", LATER);
  simulator.account.cancel(ana.id);
  simulator.account.cancelEvent(ben.event.id, "Speaker is ill");
  await simulator.settled();

  expect([ben.event, eva.event]).toEqual([ana.event, ana.event]);
  expect(other.event.uri).not.toBe(ana.event.uri);
  const counters = [ana, ben, eva].map(
    ({ uri }) => payloadOf(received, "invitee.created", uri).scheduled_event["invitees_counter"],
  );
  expect(counters).toEqual([1, 2, 3].map((count) => ({ total: count, active: count, limit: 50 })));
  const left = payloadOf(received, "invitee.canceled", ana.uri).scheduled_event;
  expect(left).toMatchObject({ status: "active", invitees_counter: { total: 3, active: 2 } });
  expect(left).not.toHaveProperty("cancellation");
  for (const { uri } of [ben, eva]) {
    expect(payloadOf(received, "invitee.canceled", uri).scheduled_event).toMatchObject({
      status: "canceled",
      invitees_counter: { total: 3, active: 0 },
      cancellation: { canceler_type: "host", reason: "Speaker is ill" },
    });
  }
});
