import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import type { OutcomeEvent } from "./outcome-event.ts";
import { idOf, matches } from "./outcome-filter.ts";

const sample = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/outcomes/invitee.created.json", import.meta.url), "utf8"),
)[0];
const confirmed = sample as Extract<OutcomeEvent, { type: "booking.confirmed" }>;
const { type } = confirmed.data.booking.event;
const [host] = confirmed.data.booking.hosts;
const event = (eventType: string, data: object) => ({ ...sample, type: eventType, data }) as OutcomeEvent;
const erased = event("booking.erased", { booking: { id: "x" } });
const conflict = event("booking.conflict_detected", { conflict: { host: host?.uri } });
const expired = event("booking.expectation_expired", { expectation: { reference: "r" } });

test.each([
  [confirmed, {}, true],
  [confirmed, { types: ["booking.confirmed"] }, true],
  [confirmed, { types: ["booking.canceled"] }, false],
  [confirmed, { eventTypes: [type?.uri ?? ""] }, true],
  [confirmed, { eventTypes: [idOf(type?.uri ?? "")] }, true],
  [confirmed, { eventTypes: ["another"] }, false],
  [confirmed, { hosts: [host?.uri ?? ""] }, true],
  [confirmed, { hosts: ["another"] }, false],
  [confirmed, { eventTypes: [type?.uri ?? ""], hosts: ["another"] }, false],
  [erased, { eventTypes: ["another"], hosts: ["another"] }, true],
  [erased, { types: ["booking.confirmed"] }, false],
  [conflict, { hosts: [idOf(host?.uri ?? "")] }, true],
  [conflict, { eventTypes: [type?.uri ?? ""] }, false],
  [expired, {}, true],
  [expired, { eventTypes: [type?.uri ?? ""] }, false],
])("%#: %j", (outcome, filter, expected) => {
  expect(matches(outcome, filter)).toBe(expected);
});
