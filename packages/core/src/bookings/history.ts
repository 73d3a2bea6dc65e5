import type { Booking } from "./booking.ts";
import { canonicalLog, type Step } from "./canonical-log.ts";
import type { BookingFact } from "./facts.ts";
import type { RegisterStep } from "./registers.ts";

// History: what happened at Calendly before the installation began. It is known, so that what follows fits in, but told
// to nobody: nobody's old customers are to be welcomed again. What Calendly delivers is no history, however old.

/**
 * Remembers that Calendly has delivered a fact, where its outcome would be history otherwise. `identity` is that of what
 * was delivered, where that came late and `fact` is what its API said then. `publishFrom` in ms.
 */
export function hear(booking: Booking, fact: BookingFact, identity: string, publishFrom: number): Booking {
  if (fact.kind !== "invitee" || Date.parse(fact.invitee.fields.createdAt) >= publishFrom) return booking;
  if (booking.heard.includes(identity)) return booking;
  return { ...booking, heard: [...booking.heard, identity].toSorted() };
}

/** Whether an outcome is to be told. */
export function isNews({ heard }: Booking, step: Step | RegisterStep, publishFrom: number): boolean {
  return Date.parse(step.time) >= publishFrom || heard.includes(statedBy(step));
}

/**
 * The steps of the log that were history and are not any more, as Calendly has delivered them after all: unless something
 * that comes after them has been told.
 */
export function wokenSteps(booking: Booking, publishFrom: number): Step[] {
  const { published, quiet } = booking;
  const log = canonicalLog(booking);
  const lastTold = log.findLastIndex(({ id }) => published.includes(id) && !quiet.includes(id));
  return log.filter(
    (step, position) => position > lastTold && quiet.includes(step.id) && isNews(booking, step, publishFrom),
  );
}

/** Whether all that is known of a booking is history, and there is some. */
export function isHistory({ published, registers, quiet }: Booking): boolean {
  return quiet.length > 0 && [...published, ...registers].every((id) => quiet.includes(id));
}

/** Identity of the fact that states a step outright. */
function statedBy(step: Step | RegisterStep): string {
  switch (step.type) {
    case "booking.confirmed":
    case "booking.rescheduled":
      return `invitee.created/${step.inviteeId}`;
    case "booking.canceled":
      return `invitee.canceled/${step.inviteeId}`;
    case "booking.no_show":
      return `invitee_no_show.created/${step.invitee.noShow[0]?.uri.split("/").at(-1)}`;
    case "booking.no_show_cleared":
      return `invitee_no_show.deleted/${step.inviteeId}/${step.time}`;
    // Only what was told is promised more.
    case "booking.updated":
      return "";
  }
}
