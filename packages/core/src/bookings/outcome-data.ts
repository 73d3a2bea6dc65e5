import type { Cancellation, EventFields, Host, InviteeFields, Origin } from "./facts.ts";
import { fieldValue, type InviteeKnowledge, type Stamped } from "./knowledge.ts";

export type OutcomeType = "booking.confirmed" | "booking.rescheduled" | "booking.canceled";

/** Null means that Calendly gave none. */
export interface OutcomeData {
  readonly booking: {
    readonly id: string;
    readonly status: "active" | "canceled";
    /** Position in the booking's log, from 1. */
    readonly sequence: number;
    readonly start: string;
    readonly end: string;
    /** The invitee's zone; `start` and `end` are in UTC whatever it says. */
    readonly timezone: string | null;
    readonly invitee: {
      readonly uri: string;
      readonly email: string | null;
      readonly name: string | null;
      readonly firstName: string | null;
      readonly lastName: string | null;
      readonly phone: string | null;
    };
    readonly event: {
      readonly uri: string;
      readonly name: string | null;
      readonly type: { readonly uri: string } | null;
      readonly location: Readonly<Record<string, unknown>> | null;
      readonly guests: readonly string[];
    };
    readonly hosts: readonly Host[];
    readonly answers: NonNullable<InviteeFields["answers"]>;
    readonly tracking: Readonly<Record<string, unknown>> | null;
    readonly payment: Readonly<Record<string, unknown>> | null;
    readonly links: { readonly cancel: string | null; readonly reschedule: string | null };
  };
  /** Where the booking was before, on a reschedule. */
  readonly previous?: { readonly start: string; readonly end: string; readonly inviteeUri: string };
  readonly cancellation?: Cancellation;
  readonly origin: Origin;
}

/** What an outcome tells, from what is known of its invitee and of the one before. */
export function outcomeData(of: {
  readonly type: OutcomeType;
  readonly bookingId: string;
  readonly sequence: number;
  readonly origin: Origin;
  readonly invitee: InviteeKnowledge;
  readonly previous?: InviteeKnowledge;
}): OutcomeData {
  const { invitee, event } = of.invitee;
  const canceled = of.type === "booking.canceled";
  return {
    booking: {
      id: of.bookingId,
      status: canceled ? "canceled" : "active",
      sequence: of.sequence,
      start: fieldValue(event.start),
      end: fieldValue(event.end),
      timezone: fieldValue(invitee.timezone) ?? null,
      invitee: inviteeData(invitee),
      event: eventData(event),
      hosts: fieldValue(event.hosts) ?? [],
      answers: fieldValue(invitee.answers) ?? [],
      tracking: fieldValue(invitee.tracking) ?? null,
      payment: fieldValue(invitee.payment) ?? null,
      links: { cancel: fieldValue(invitee.cancelUrl) ?? null, reschedule: fieldValue(invitee.rescheduleUrl) ?? null },
    },
    ...(of.previous === undefined ? {} : { previous: previousData(of.previous) }),
    ...(canceled ? { cancellation: fieldValue(invitee.cancellation) ?? NO_DETAILS } : {}),
    origin: of.origin,
  };
}

const NO_DETAILS: Cancellation = { by: null, byType: null, reason: null, at: null };

function inviteeData(invitee: Stamped<InviteeFields>): OutcomeData["booking"]["invitee"] {
  return {
    uri: fieldValue(invitee.uri),
    email: fieldValue(invitee.email) ?? null,
    name: fieldValue(invitee.name) ?? null,
    firstName: fieldValue(invitee.firstName) ?? null,
    lastName: fieldValue(invitee.lastName) ?? null,
    phone: fieldValue(invitee.phone) ?? null,
  };
}

function eventData(event: Stamped<EventFields>): OutcomeData["booking"]["event"] {
  const type = fieldValue(event.eventType);
  return {
    uri: fieldValue(event.uri),
    name: fieldValue(event.name) ?? null,
    type: type === undefined ? null : { uri: type },
    location: fieldValue(event.location) ?? null,
    guests: fieldValue(event.guests) ?? [],
  };
}

function previousData({ invitee, event }: InviteeKnowledge): NonNullable<OutcomeData["previous"]> {
  return { start: fieldValue(event.start), end: fieldValue(event.end), inviteeUri: fieldValue(invitee.uri) };
}
