import { z } from "zod";
import type { Booking } from "./booking.ts";
import type { Cancellation, EventFields, InviteeFields, Origin } from "./facts.ts";
import { ORIGINS } from "./facts.ts";
import { fieldValue, type InviteeKnowledge, type Stamped } from "./knowledge.ts";
import { localTime } from "./local-time.ts";
import { UPDATES } from "./registers.ts";

// What outcomes carry. One schema, from which the types and the JSON Schema in docs/ come. Null means that Calendly
// gave none.

const text = z.string();
const maybeText = z.string().nullable();
const instant = z.string().describe("UTC, ISO 8601, as Calendly sends it");
const localInstant = z.string().nullable().describe("ISO 8601 with the offset of the invitee's zone; null without one");
const anything = z.record(z.string(), z.unknown());
const answers = z.array(z.strictObject({ question: maybeText, answer: maybeText }));

const eventType = z
  .strictObject({
    uri: text,
    resolved: z.boolean().describe("false where Calendly's API did not answer in time; the others are null then"),
    slug: maybeText,
    kind: maybeText.describe("solo or group"),
    poolingType: maybeText.describe("round_robin, collective, multi_pool or null"),
    durationMinutes: z.number().nullable(),
  })
  .nullable();

export const booking = z
  .strictObject({
    id: text.describe("id of the chain's first invitee; stays the same through every reschedule"),
    status: z.enum(["active", "canceled"]),
    sequence: z
      .int()
      .describe("position in the booking's log, from 1; that of the last one before for what is beside it"),
    reference: maybeText.describe("the tracking field that CALENDLY_REFERENCE_FIELD names"),
    start: instant,
    end: instant,
    startLocal: localInstant,
    endLocal: localInstant,
    timezone: maybeText.describe("IANA name or an old alias, as the invitee chose it"),
    invitee: z.strictObject({
      uri: text,
      email: maybeText,
      name: maybeText,
      firstName: maybeText,
      lastName: maybeText,
      phone: maybeText,
    }),
    event: z.strictObject({
      uri: text,
      name: maybeText,
      type: eventType,
      location: anything.nullable().describe("as known; a conference's join_url counts once its status is pushed"),
      guests: z.array(text),
    }),
    hosts: z.array(z.strictObject({ uri: text, name: maybeText, email: maybeText })),
    answers,
    tracking: anything.nullable(),
    payment: anything.nullable(),
    noShow: z.strictObject({ uri: text, at: instant }).nullable(),
    routingForm: z.strictObject({ uri: text, answers: answers.nullable() }).nullable(),
    links: z.strictObject({ cancel: maybeText, reschedule: maybeText }),
  })
  .meta({ id: "Booking" });

const previous = z.strictObject({ start: instant, end: instant, inviteeUri: text });
const cancellation = z.strictObject({
  by: maybeText.describe("display name"),
  byType: maybeText.describe("host or invitee"),
  reason: maybeText,
  at: instant.nullable(),
});
const source = {
  origin: z.enum(ORIGINS).describe("where the fact came from that made this outcome follow"),
  historical: z
    .literal(true)
    .optional()
    .describe("there where it is told by a backfill: it happened before this installation began"),
};

const conflicting = z.strictObject({
  id: text.describe("the booking's id"),
  start: instant,
  end: instant,
  eventUri: text,
  inviteeUri: text,
});
const conflict = z
  .strictObject({
    bookings: z.tuple([conflicting, conflicting]).describe("the smaller id first"),
    host: text.describe("URI of the host who is booked twice; the smallest where there are several"),
    overlap: z.strictObject({ start: instant, end: instant }).describe("buffer times included where known"),
  })
  .meta({ id: "Conflict" });

/** `data` of each type of outcome. */
export const outcomeData = {
  "booking.confirmed": z.strictObject({ booking, ...source }),
  "booking.rescheduled": z.strictObject({
    booking,
    previous: previous.nullable().describe("null where Calendly no longer knows the invitee before"),
    ...source,
  }),
  "booking.canceled": z.strictObject({ booking, cancellation, ...source }),
  "booking.no_show": z.strictObject({ booking, ...source }),
  "booking.no_show_cleared": z.strictObject({ booking, ...source }),
  "booking.updated": z.strictObject({ booking, changed: z.enum(UPDATES), ...source }),
  "booking.conflict_detected": z.strictObject({
    conflict,
    alternatives: z
      .array(z.strictObject({ start: instant, inviteesRemaining: z.int().nullable() }))
      .nullable()
      .describe("free times of the later booking's event type; null where the API gave none"),
    ...source,
  }),
  "booking.conflict_resolved": z.strictObject({ conflict, ...source }),
  "booking.erased": z.strictObject({ booking: z.strictObject({ id: text }) }),
  "booking.expectation_expired": z.strictObject({
    expectation: z.strictObject({
      reference: text.describe(
        "what the booking was to bear in the tracking field that CALENDLY_REFERENCE_FIELD names",
      ),
      until: instant.describe("when it was to be booked by"),
      announcedAt: instant,
    }),
  }),
} as const;

export type OutcomeType = keyof typeof outcomeData;
export const OUTCOME_TYPES = Object.keys(outcomeData) as [OutcomeType, ...OutcomeType[]];
export type DataOfType<Type extends OutcomeType> = z.output<(typeof outcomeData)[Type]>;
export type BookingData = z.output<typeof booking>;
export type ConflictData = z.output<typeof conflict>;
export type Alternatives = DataOfType<"booking.conflict_detected">["alternatives"];

/** What Calendly's API says of an event type; undefined where it did not say. */
export interface EventTypeDetails {
  readonly slug: string | null;
  readonly kind: string | null;
  readonly poolingType: string | null;
  readonly durationMinutes: number | null;
}

/** What is needed beside the booking itself to tell of it. */
export interface Telling {
  readonly origin: Origin;
  /** In ms: what happened before is history, and told to nobody unless Calendly delivers it. */
  readonly publishFrom: number;
  /** Whether a backfill tells it. */
  readonly historical?: true;
  /** Name of the tracking field that is the reference. */
  readonly referenceField: string;
}

/** What is told of a booking, with its event type named and not resolved. */
export function bookingData(of: {
  readonly booking: Booking;
  readonly status: BookingData["status"];
  readonly sequence: number;
  readonly invitee: InviteeKnowledge;
  readonly telling: Telling;
}): BookingData {
  const { invitee, event, noShow } = of.invitee;
  const [start, end, timezone] = [fieldValue(event.start), fieldValue(event.end), fieldValue(invitee.timezone)];
  const tracking = fieldValue(invitee.tracking);
  const reference = tracking?.[of.telling.referenceField];
  const form = fieldValue(invitee.routingForm);
  return {
    id: of.booking.id,
    status: of.status,
    sequence: of.sequence,
    reference: typeof reference === "string" ? reference : null,
    start,
    end,
    startLocal: localTime(start, timezone),
    endLocal: localTime(end, timezone),
    timezone: timezone ?? null,
    invitee: inviteeData(invitee),
    event: eventData(event),
    hosts: [...(fieldValue(event.hosts) ?? [])],
    answers: [...(fieldValue(invitee.answers) ?? [])],
    tracking: tracking ?? null,
    payment: fieldValue(invitee.payment) ?? null,
    noShow: noShow[0],
    routingForm: form === undefined ? null : routingFormData(of.booking, form),
    links: { cancel: fieldValue(invitee.cancelUrl) ?? null, reschedule: fieldValue(invitee.rescheduleUrl) ?? null },
  };
}

/** The same with what is known of the event type that it names. */
export function withEventType(data: BookingData, find: (uri: string) => EventTypeDetails | undefined): BookingData {
  const { type } = data.event;
  if (type === null) return data;
  return { ...data, event: { ...data.event, type: eventTypeData(type.uri, find(type.uri)) } };
}

export function previousData({ invitee, event }: InviteeKnowledge): z.output<typeof previous> {
  return { start: fieldValue(event.start), end: fieldValue(event.end), inviteeUri: fieldValue(invitee.uri) };
}

export function cancellationData({ invitee }: InviteeKnowledge): Cancellation {
  return fieldValue(invitee.cancellation) ?? { by: null, byType: null, reason: null, at: null };
}

function routingFormData({ routingForms }: Booking, uri: string): BookingData["routingForm"] {
  const submitted = routingForms[uri];
  return { uri, answers: submitted === undefined ? null : [...submitted.answers] };
}

function inviteeData(invitee: Stamped<InviteeFields>): BookingData["invitee"] {
  return {
    uri: fieldValue(invitee.uri),
    email: fieldValue(invitee.email) ?? null,
    name: fieldValue(invitee.name) ?? null,
    firstName: fieldValue(invitee.firstName) ?? null,
    lastName: fieldValue(invitee.lastName) ?? null,
    phone: fieldValue(invitee.phone) ?? null,
  };
}

function eventData(event: Stamped<EventFields>): BookingData["event"] {
  const uri = fieldValue(event.eventType);
  return {
    uri: fieldValue(event.uri),
    name: fieldValue(event.name) ?? null,
    type: uri === undefined ? null : eventTypeData(uri, undefined),
    location: fieldValue(event.location) ?? null,
    guests: [...(fieldValue(event.guests) ?? [])],
  };
}

function eventTypeData(uri: string, details: EventTypeDetails | undefined): BookingData["event"]["type"] {
  return {
    uri,
    resolved: details !== undefined,
    slug: details?.slug ?? null,
    kind: details?.kind ?? null,
    poolingType: details?.poolingType ?? null,
    durationMinutes: details?.durationMinutes ?? null,
  };
}
