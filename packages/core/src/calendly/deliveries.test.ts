import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { readDelivery } from "./deliveries.ts";

const SAMPLES = new URL("../../../../test/fixtures/deliveries/", import.meta.url);
const sample = (name: string) => JSON.parse(readFileSync(new URL(`${name}.json`, SAMPLES), "utf8"));
const read = (value: unknown) => readDelivery(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));

function changed(name: string, change: (delivery: ReturnType<typeof sample>) => void) {
  const delivery = sample(name);
  change(delivery);
  return delivery;
}

describe("the samples", () => {
  const names = readdirSync(SAMPLES).map((file) => file.replace(".json", ""));

  test.each(names.filter((name) => /invitee\.(created|canceled)/.test(name)))("%s is a fact", (name) => {
    const { event, payload } = sample(name);
    expect(read(sample(name))).toMatchObject({
      kind: "fact",
      identity: `${event}/${payload.uri.split("/").at(-1)}`,
      fact: { kind: "invitee", canceled: event === "invitee.canceled", rescheduled: payload.rescheduled },
    });
  });

  test.each([
    ["invitee_no_show.created", "invitee_no_show.created/4b5c6d7e-8f90-4112-8c23-445566771109"],
    [
      "invitee_no_show.deleted",
      "invitee_no_show.deleted/8a9b7c6d-1e2f-4031-8abc-d4e5f6071101/2026-12-03T19:24:31.050000Z",
    ],
    ["event_type.updated", "event_type.updated/c3d4e5f6-0718-4293-a4b5-c6d7e8f91101/2026-11-23T22:10:00.000000Z"],
    [
      "routing_form_submission.created.event_type",
      "routing_form_submission.created/18293a4b-5c6d-47e8-89f0-011223451107",
    ],
  ])("%s is a fact, known as %s", (name, identity) => {
    expect(read(sample(name))).toMatchObject({ kind: "fact", identity, job: sample(name).event });
  });

  test.each(["contact.deleted", "meeting_recap.deleted"])("%s is of a type that nobody handles", (name) => {
    expect(read(sample(name))).toMatchObject({ kind: "unhandled", event: sample(name).event });
  });

  test("a mark says who was not there and since when, a clearing that nobody is marked", () => {
    expect(read(sample("invitee_no_show.created"))).toMatchObject({
      fact: {
        noShow: {
          updatedAt: "2026-12-03T19:20:00.710000Z",
          mark: {
            uri: "https://api.calendly.com/invitee_no_shows/4b5c6d7e-8f90-4112-8c23-445566771109",
            at: "2026-12-03T19:20:00.700000Z",
          },
        },
      },
    });
    expect(read(sample("invitee_no_show.deleted"))).toMatchObject({
      fact: { noShow: { updatedAt: "2026-12-03T19:24:31.050000Z", mark: null } },
    });
  });

  test("a mark without a no-show is not readable", () => {
    const delivery = changed("invitee_no_show.created", ({ payload }) => {
      payload.no_show = null;
    });
    expect(read(delivery)).toMatchObject({ kind: "unreadable", reason: "payload_invalid" });
  });

  test.each([
    ["event_type", { eventType: "https://api.calendly.com/event_types/0718293a-4b5c-46d7-88e9-f00112341106" }],
    ["external_url", {}],
    ["custom_message", {}],
  ])("a routing form that leads to an %s says so", (kind, leadsTo) => {
    const { payload } = sample(`routing_form_submission.created.${kind}`);
    const answers = payload.questions_and_answers.map(({ question, answer }: Record<string, unknown>) => ({
      question,
      answer,
    }));
    expect(read(sample(`routing_form_submission.created.${kind}`))).toMatchObject({
      fact: { kind: "routing_form", form: { uri: payload.uri, submittedAt: payload.created_at, answers, ...leadsTo } },
    });
  });
});

describe("the name of a job", () => {
  test.each([
    ["invitee.created", "invitee.created"],
    ["invitee.canceled", "invitee.canceled"],
    ["reschedule.1.invitee.canceled", "invitee.rescheduled"],
    ["reschedule.2.invitee.created", "invitee.rescheduled"],
    ["reschedule.chain.middle.invitee.canceled", "invitee.rescheduled"],
  ])("for %s is %s", (name, job) => {
    expect(read(sample(name))).toMatchObject({ job });
  });

  test("is invitee.canceled when the last of a chain is truly canceled", () => {
    const delivery = changed("invitee.canceled", ({ payload }) => {
      payload.old_invitee = `${payload.event}/invitees/EARLIER`;
    });
    expect(read(delivery)).toMatchObject({ job: "invitee.canceled", fact: { oldInvitee: { id: "EARLIER" } } });
  });
});

test("a native invitee.rescheduled is the half that its fields say", () => {
  const rename = (delivery: { event: string }) => {
    delivery.event = "invitee.rescheduled";
  };
  const oldHalf = changed("reschedule.1.invitee.canceled", rename);
  const newHalf = changed("reschedule.2.invitee.created", rename);
  expect(read(oldHalf)).toEqual(read(sample("reschedule.1.invitee.canceled")));
  expect(read(newHalf)).toEqual(read(sample("reschedule.2.invitee.created")));
});

test("the identity is the same whoever subscribed and whenever it was sent", () => {
  const again = changed("invitee.created", (delivery) => {
    delivery.created_by = "https://api.calendly.com/users/SOMEBODYELSE";
    delivery.created_at = "2026-11-24T00:00:00.000000Z";
  });
  expect(read(again)).toMatchObject({ identity: "invitee.created/8a9b7c6d-1e2f-4031-8abc-d4e5f6071101" });
});

test("unknown keys and absent optional ones do not matter", () => {
  const delivery = changed("invitee.created", ({ payload }) => {
    payload.something_new = { deep: [1] };
    payload.scheduled_event.something_new = true;
    for (const key of ["name", "timezone", "tracking", "questions_and_answers", "payment", "no_show"])
      delete payload[key];
    payload.scheduled_event.location = null;
    delete payload.scheduled_event.event_memberships;
  });
  expect(read(delivery)).toMatchObject({ kind: "fact" });
});

describe("a body that cannot be read", () => {
  test.each([
    ["not_utf8", Buffer.from([0x7b, 0xff, 0x7d])],
    ["not_json", Buffer.from("{")],
    ["not_json", Buffer.from("")],
    ["not_json", Buffer.from("\ufeff{}")],
    ["not_an_envelope", Buffer.from("null")],
    ["not_an_envelope", Buffer.from("[]")],
    ["not_an_envelope", Buffer.from('{"event":"invitee.created"}')],
    ["not_an_envelope", Buffer.from('{"event":7,"created_at":"","payload":{}}')],
  ])("is %s and named after its bytes", (reason, body) => {
    const reading = readDelivery(body);
    expect(reading).toMatchObject({ kind: "unreadable", reason });
    expect(reading.identity).toMatch(/^body\/[0-9a-f]{64}$/);
    expect(readDelivery(Buffer.from(body))).toEqual(reading);
  });

  test("is payload_invalid when a known type does not fit, and names the fields but no values", () => {
    const delivery = changed("invitee.created", ({ payload }) => {
      payload.status = "secret-status";
      payload.scheduled_event.start_time = "secret-time";
    });
    const reading = read(delivery);
    expect(reading).toMatchObject({
      kind: "unreadable",
      reason: "payload_invalid",
      identity: "invitee.created/8a9b7c6d-1e2f-4031-8abc-d4e5f6071101",
    });
    const problems = (reading as { problems: readonly string[] }).problems.join("\n");
    expect(problems).toContain("status: ");
    expect(problems).toContain("scheduled_event.start_time: ");
    expect(problems).not.toContain("secret");
  });

  test("is named after its bytes when not even its invitee can be read", () => {
    const reading = read({ event: "invitee.created", created_at: "x", payload: { uri: "https://example.com/else" } });
    expect(reading).toMatchObject({ kind: "unreadable", identity: expect.stringMatching(/^body\//) });
  });

  test("does not overflow the stack by its depth", () => {
    expect(read("[".repeat(500_000))).toMatchObject({ kind: "unreadable", reason: "not_json" });
    expect(read(`${"[".repeat(200_000)}${"]".repeat(200_000)}`)).toMatchObject({ kind: "unreadable" });
  });
});
