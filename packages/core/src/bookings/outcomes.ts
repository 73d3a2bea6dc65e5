import type { Booking } from "./booking.ts";
import { canonicalLog, type Step } from "./canonical-log.ts";
import { fieldValue, type InviteeKnowledge } from "./knowledge.ts";
import {
  bookingData,
  cancellationData,
  type DataOfType,
  type OutcomeType,
  previousData,
  type Telling,
} from "./outcome-data.ts";
import { promisesOf, type RegisterStep, registerSteps } from "./registers.ts";

/** What internal services are told. `id` is derived from the invitee, so that a rebuild gives the same ones. */
export type Outcome = { readonly [Type in OutcomeType]: OutcomeOf<Type> }[OutcomeType];

export interface OutcomeOf<Type extends OutcomeType> {
  readonly id: string;
  readonly type: Type;
  /** The booking's id. */
  readonly subject: string;
  /** The fact's own time, ISO 8601 in UTC. */
  readonly time: string;
  readonly data: DataOfType<Type>;
}

/**
 * The outcomes that follow from what is known and are not published yet, in order, and the booking that remembers
 * them. Nothing published is ever retracted.
 */
export function publish(
  booking: Booking,
  telling: Telling,
): { readonly booking: Booking; readonly outcomes: readonly Outcome[] } {
  const steps = unpublishedSteps(booking);
  const told: Booking = {
    ...booking,
    published: [...booking.published, ...steps.map(({ id }) => id)],
    owed: [
      ...booking.owed,
      ...steps.filter(({ type }) => type !== "booking.canceled").flatMap((step) => promisesOf(booking, step.inviteeId)),
    ],
  };
  const registers = registerSteps(told);
  const said = registers.map(({ id }) => id);
  const after: Booking = {
    ...told,
    registers: [...told.registers, ...said],
    owed: told.owed.filter((id) => !said.includes(id)),
  };
  const outcomes = [
    ...steps.map((step, index) => canonicalOutcome(step, after, booking.published.length + index + 1, telling)),
    ...registers.map((step) => registerOutcome(step, after, telling)),
  ];
  return { booking: after, outcomes };
}

/** The event types, by URI, that the outcomes to come will tell of. */
export function eventTypesToTell(booking: Booking): string[] {
  const invitees = [...unpublishedSteps(booking), ...registerSteps(booking)].map(({ invitee }) => invitee);
  const types = invitees.map(({ event }: InviteeKnowledge) => fieldValue(event.eventType));
  return [...new Set(types.filter((uri) => uri !== undefined))];
}

function unpublishedSteps(booking: Booking): Step[] {
  return canonicalLog(booking).filter(({ id }) => !booking.published.includes(id));
}

function canonicalOutcome(step: Step, booking: Booking, sequence: number, telling: Telling): Outcome {
  const { id, type, time, invitee, previous } = step;
  const status = type === "booking.canceled" ? "canceled" : "active";
  const data = { booking: bookingData({ booking, status, sequence, invitee, telling }), origin: telling.origin };
  const subject = booking.id;
  switch (type) {
    case "booking.confirmed":
      return { id, type, subject, time, data };
    case "booking.rescheduled":
      return { id, type, subject, time, data: { ...data, previous: previous ? previousData(previous) : null } };
    case "booking.canceled":
      return { id, type, subject, time, data: { ...data, cancellation: cancellationData(invitee) } };
  }
}

function registerOutcome(step: RegisterStep, booking: Booking, telling: Telling): Outcome {
  const { id, type, time, invitee, changed } = step;
  const status = booking.published.at(-1)?.endsWith(".canceled") ? "canceled" : "active";
  const sequence = booking.published.length;
  const data = { booking: bookingData({ booking, status, sequence, invitee, telling }), origin: telling.origin };
  const subject = booking.id;
  if (type !== "booking.updated") return { id, type, subject, time, data };
  if (changed === undefined) throw new TypeError(`the outcome ${id} does not say what changed`);
  return { id, type, subject, time, data: { ...data, changed } };
}
