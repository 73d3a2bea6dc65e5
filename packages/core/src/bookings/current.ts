import type { Booking } from "./booking.ts";
import { lastInvitee } from "./canonical-log.ts";
import { type BookingData, bookingData, type OutcomeType, type Telling } from "./outcome-data.ts";

/** An outcome of a booking as the booking itself remembers it. */
export interface LoggedOutcome {
  readonly id: string;
  readonly type: OutcomeType;
  /** False where it is history: known, and told to nobody. */
  readonly isTold: boolean;
}

/** What the booking was last told to be. */
export function statusOf({ published }: Booking): BookingData["status"] {
  return published.at(-1)?.endsWith(".canceled") ? "canceled" : "active";
}

/** The booking as it is known now, in the words of outcomes; undefined while nobody of its chain is known. */
export function currentBooking(booking: Booking, telling: Telling): BookingData | undefined {
  const invitee = lastInvitee(booking);
  if (invitee === undefined) return undefined;
  return bookingData({ booking, status: statusOf(booking), sequence: booking.published.length, invitee, telling });
}

/** All outcomes of a booking: first its log, in order, then those beside it. */
export function loggedOutcomes({ published, registers, quiet }: Booking): LoggedOutcome[] {
  return [...published, ...registers].map((id) => ({ id, type: typeOf(id), isTold: !quiet.includes(id) }));
}

/** Ids are `<invitee id>.<what>`, and may have a further part. */
function typeOf(id: string): OutcomeType {
  const [, what] = /\.(confirmed|rescheduled|canceled|no_show|no_show_cleared|updated)(\.|$)/.exec(id) ?? [];
  if (what === undefined) throw new TypeError(`${id} is not the id of an outcome of a booking`);
  return `booking.${what}` as OutcomeType;
}
