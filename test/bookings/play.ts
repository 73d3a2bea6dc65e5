import { type Booking, emptyBooking, mergeFact } from "@calendly-worker/core/bookings/booking";
import type { BookingFact } from "@calendly-worker/core/bookings/facts";
import type { Telling } from "@calendly-worker/core/bookings/outcome-data";
import { type Outcome, publish } from "@calendly-worker/core/bookings/outcomes";

export interface Played {
  readonly booking: Booking;
  readonly outcomes: readonly Outcome[];
}

const TELLING: Telling = {
  origin: "webhook",
  referenceField: "utm_content",
  publishFrom: 0,
};

/** Folds facts into a booking one by one, as workers do. */
export function play(bookingId: string, facts: Iterable<BookingFact>, start?: Played): Played {
  let booking = start?.booking ?? emptyBooking(bookingId);
  const outcomes = [...(start?.outcomes ?? [])];
  for (const fact of facts) {
    const merge = mergeFact(booking, fact);
    if (merge.kind === "malformed") throw new Error(merge.why);
    const published = publish(merge.booking, TELLING);
    booking = published.booking;
    outcomes.push(...published.outcomes);
  }
  return { booking, outcomes };
}
