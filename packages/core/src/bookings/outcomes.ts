import { type Booking, chainOf } from "./booking.ts";
import type { Origin } from "./facts.ts";
import { fieldValue, type InviteeKnowledge } from "./knowledge.ts";
import { type OutcomeData, type OutcomeType, outcomeData } from "./outcome-data.ts";

/** What internal services are told. `id` is derived from the invitee, so that a rebuild gives the same ones. */
export interface Outcome {
  readonly id: string;
  readonly type: OutcomeType;
  /** The booking's id. */
  readonly subject: string;
  /** The fact's own time, ISO 8601 in UTC. */
  readonly time: string;
  readonly data: OutcomeData;
}

/** One step of the canonical log, before it has a place in what is published. */
interface Step {
  readonly id: string;
  readonly type: OutcomeType;
  readonly time: string;
  readonly invitee: InviteeKnowledge;
  readonly previous?: InviteeKnowledge;
}

/**
 * The outcomes that follow from what is known and are not published yet, in order, and the booking that remembers
 * them. Nothing published is ever retracted. `origin` is that of the fact which made them follow.
 */
export function publish(
  booking: Booking,
  origin: Origin,
): { readonly booking: Booking; readonly outcomes: readonly Outcome[] } {
  const fresh = canonicalLog(booking).filter(({ id }) => !booking.published.includes(id));
  const outcomes = fresh.map((step, index) =>
    outcomeOf(step, { bookingId: booking.id, sequence: booking.published.length + index + 1, origin }),
  );
  return { booking: { ...booking, published: [...booking.published, ...outcomes.map(({ id }) => id)] }, outcomes };
}

/**
 * The log as a pure function of what is known: the first invitee gives `confirmed`, each further one `rescheduled`, and
 * the last one `canceled` where it was truly canceled. It ends at the first invitee who is named but not known.
 */
function canonicalLog(booking: Booking): Step[] {
  const log: Step[] = [];
  let previous: InviteeKnowledge | undefined;
  for (const [position, inviteeId] of chainOf(booking).entries()) {
    const invitee = booking.invitees[inviteeId];
    if (invitee === undefined) return log;
    const type = position === 0 ? "booking.confirmed" : "booking.rescheduled";
    const time = fieldValue(invitee.invitee.createdAt);
    log.push({ id: outcomeId(inviteeId, type), type, time, invitee, ...(previous ? { previous } : {}) });
    previous = invitee;
  }
  if (previous?.canceled && !previous.rescheduled) {
    const inviteeId = chainOf(booking).at(-1) ?? booking.id;
    const type = "booking.canceled";
    log.push({ id: outcomeId(inviteeId, type), type, time: canceledAt(previous), invitee: previous });
  }
  return log;
}

function outcomeId(inviteeId: string, type: OutcomeType): string {
  return `${inviteeId}.${type.slice("booking.".length)}`;
}

function canceledAt({ invitee }: InviteeKnowledge): string {
  return fieldValue(invitee.cancellation)?.at ?? newestUpdate(invitee);
}

function newestUpdate(invitee: InviteeKnowledge["invitee"]): string {
  const stamps = Object.values(invitee).map(([, updatedAt]) => updatedAt as string);
  return stamps.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1) ?? fieldValue(invitee.createdAt);
}

function outcomeOf(
  { id, type, time, ...step }: Step,
  place: { readonly bookingId: string; readonly sequence: number; readonly origin: Origin },
): Outcome {
  return { id, type, subject: place.bookingId, time, data: outcomeData({ ...step, ...place, type }) };
}
