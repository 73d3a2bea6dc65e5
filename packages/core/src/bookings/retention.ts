import type { Booking } from "./booking.ts";
import { fieldValue } from "./knowledge.ts";

const DAY_MS = 86_400_000;

/** When a booking is forgotten, in ms: so many days after the end of its latest event; undefined while none is known. */
export function expiresAt(booking: Booking, retentionDays: number): number | undefined {
  const ends = Object.values(booking.invitees).map(({ event }) => Date.parse(fieldValue(event.end)));
  return ends.length === 0 ? undefined : Math.max(...ends) + retentionDays * DAY_MS;
}

/** Whether an event ended so long ago that what is told of it is not taken up any more. `now` in ms. */
export function isPastRetention(end: string, retentionDays: number, now: number): boolean {
  return Date.parse(end) + retentionDays * DAY_MS < now;
}
