import { type Booking, chainOf } from "./booking.ts";
import { fieldValue, type InviteeKnowledge } from "./knowledge.ts";

/** One outcome as it follows from what is known, before it has a place in what is published. */
export interface Step {
  readonly id: string;
  readonly type: "booking.confirmed" | "booking.rescheduled" | "booking.canceled";
  /** The fact's own time. */
  readonly time: string;
  readonly inviteeId: string;
  readonly invitee: InviteeKnowledge;
  /** Who was rescheduled; undefined where Calendly no longer knows. */
  readonly previous?: InviteeKnowledge;
}

/**
 * The log as a pure function of what is known: the first invitee gives `confirmed`, each further one `rescheduled`, and
 * the last one `canceled` where it was truly canceled. It ends at the first invitee who is named but not known. One who
 * is gone gives nothing.
 */
export function canonicalLog(booking: Booking): Step[] {
  const log: Step[] = [];
  let last: { readonly inviteeId: string; readonly invitee: InviteeKnowledge } | undefined;
  for (const [position, inviteeId] of chainOf(booking).entries()) {
    if (booking.gone.includes(inviteeId)) {
      last = undefined;
      continue;
    }
    const invitee = booking.invitees[inviteeId];
    if (invitee === undefined) return log;
    log.push({
      id: position === 0 ? `${inviteeId}.confirmed` : `${inviteeId}.rescheduled`,
      type: position === 0 ? "booking.confirmed" : "booking.rescheduled",
      time: fieldValue(invitee.invitee.createdAt),
      inviteeId,
      invitee,
      ...(last && { previous: last.invitee }),
    });
    last = { inviteeId, invitee };
  }
  if (last?.invitee.canceled && !last.invitee.rescheduled) {
    log.push({ id: `${last.inviteeId}.canceled`, type: "booking.canceled", time: canceledAt(last.invitee), ...last });
  }
  return log;
}

/** The invitee at the end of the chain, where everybody up to there is known. */
export function lastInvitee(booking: Booking): (InviteeKnowledge & { readonly id: string }) | undefined {
  const id = chainOf(booking).at(-1) ?? booking.id;
  const log = canonicalLog(booking);
  const step = log.findLast(({ inviteeId }) => inviteeId === id);
  return step && { ...step.invitee, id };
}

/** When an invitee canceled: Calendly's word for it, else the newest change that is known. */
export function canceledAt({ invitee }: InviteeKnowledge): string {
  return fieldValue(invitee.cancellation)?.at ?? newestUpdate(invitee);
}

function newestUpdate(invitee: InviteeKnowledge["invitee"]): string {
  const stamps = Object.values(invitee).map(([, updatedAt]) => updatedAt as string);
  return stamps.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1) ?? fieldValue(invitee.createdAt);
}

/** What the booking bears in the tracking field that is the reference. */
export function referenceOf(booking: Booking, referenceField: string): string | undefined {
  const known = lastInvitee(booking);
  const reference = known && fieldValue(known.invitee.tracking)?.[referenceField];
  return typeof reference === "string" && reference !== "" ? reference : undefined;
}
