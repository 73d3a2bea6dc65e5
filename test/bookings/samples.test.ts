import { readdirSync, readFileSync } from "node:fs";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { outcomeEvent, toOutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { describe, expect, test } from "@jest/globals";
import { factOf } from "./histories.ts";
import { play } from "./play.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
const textOf = (path: string) => readFileSync(new URL(path, FIXTURES), "utf8");
const delivery = (name: string) => textOf(`deliveries/${name}.json`);

/** What has to be known beside a sample for its outcomes to follow: the samples that came before it. */
const BEFORE: Readonly<Record<string, readonly string[]>> = {
  "reschedule.2.invitee.created": ["reschedule.1.invitee.canceled"],
  "reschedule.chain.middle.invitee.canceled": ["reschedule.1.invitee.canceled"],
  "invitee_no_show.deleted": ["invitee_no_show.created"],
};

/** These tell of no booking: a form waits for one that names it, the others are not about bookings. */
const WITHOUT_OUTCOME: readonly string[] = [
  "contact.deleted",
  "event_type.updated",
  "meeting_recap.deleted",
  "routing_form_submission.created.custom_message",
  "routing_form_submission.created.event_type",
  "routing_form_submission.created.external_url",
];

const samples = readdirSync(new URL("deliveries/", FIXTURES)).map((file) => file.replace(".json", ""));
const telling = samples.filter((name) => !WITHOUT_OUTCOME.includes(name));

describe("each sample delivery", () => {
  test.each(telling)("%s gives the outcomes that are stated for it, null for null", (name) => {
    const expected: unknown = JSON.parse(textOf(`outcomes/${name}.json`));
    const facts = [...(BEFORE[name] ?? []), name].map((sample) => factOf(delivery(sample)));
    const [first] = facts;
    if (first?.kind !== "invitee") throw new TypeError(`${name} does not begin with an invitee`);
    const before = play(first.inviteeId, facts.slice(0, -1));
    const { outcomes } = play(first.inviteeId, facts.slice(-1), { ...before, outcomes: [] });
    const events = outcomes.map((outcome) => JSON.parse(JSON.stringify(toOutcomeEvent(outcome))));
    expect(events).toEqual(expected);
    for (const event of events) outcomeEvent.parse(event);
  });

  test.each(WITHOUT_OUTCOME)("%s tells of no booking by itself", (name) => {
    const reading = readDelivery(Buffer.from(delivery(name)));
    expect(reading.kind === "fact" && reading.fact.kind === "invitee").toBe(false);
  });
});
