import type { Booking } from "./booking.ts";
import { lastInvitee } from "./canonical-log.ts";
import { awaitsLink, isPushed } from "./conference.ts";
import { fieldValue, type InviteeKnowledge } from "./knowledge.ts";

// Registers: what may change back and forth, or become known late, beside the canonical log. Their outcomes depend on
// the order in which facts come; the state that they end in does not.

/** What an `updated` outcome tells. */
export const UPDATES = ["conference", "routing_form"] as const;
export type Update = (typeof UPDATES)[number];

/** One outcome as it follows from a register. */
export interface RegisterStep {
  readonly id: string;
  readonly type: "booking.no_show" | "booking.no_show_cleared" | "booking.updated";
  readonly time: string;
  readonly inviteeId: string;
  readonly invitee: InviteeKnowledge;
  readonly changed?: Update;
}

/** What the registers of the invitees whose own outcome is published say, and have not said yet. */
export function registerSteps(booking: Booking): RegisterStep[] {
  const told = Object.entries(booking.invitees).filter(
    ([id]) => booking.published.includes(`${id}.confirmed`) || booking.published.includes(`${id}.rescheduled`),
  );
  return [...told.flatMap(([id, invitee]) => noShowSteps(booking, id, invitee)), ...updateSteps(booking)];
}

/**
 * What cannot be told with an invitee's own outcome, as it is not known yet, and is promised for later: the ids of the
 * `updated` outcomes to come.
 */
export function promisesOf(booking: Booking, inviteeId: string): string[] {
  const known = booking.invitees[inviteeId];
  if (known === undefined) return [];
  const form = fieldValue(known.invitee.routingForm);
  const promised: Update[] = [
    ...(awaitsLink(fieldValue(known.event.location)) ? ["conference" as const] : []),
    ...(form !== undefined && booking.routingForms[form] === undefined ? ["routing_form" as const] : []),
  ];
  return promised.map((update) => updateId(inviteeId, update));
}

/** Until when the conference link of a booking is to be asked for; undefined where there is nothing to ask. */
export function awaitsLinkUntil(booking: Booking): string | undefined {
  const last = lastInvitee(booking);
  if (last === undefined || last.canceled || !booking.owed.includes(updateId(last.id, "conference"))) return undefined;
  return awaitsLink(fieldValue(last.event.location)) ? fieldValue(last.event.end) : undefined;
}

function updateId(inviteeId: string, update: Update): string {
  return `${inviteeId}.updated.${update}`;
}

/** Clearing is named after the mark that it clears, so that each mark is cleared once. */
function noShowSteps(booking: Booking, inviteeId: string, invitee: InviteeKnowledge): RegisterStep[] {
  const [mark, updatedAt] = invitee.noShow;
  const said = booking.registers.findLast((id) => id.startsWith(`${inviteeId}.no_show`));
  if (mark !== null) {
    const id = `${inviteeId}.no_show.${mark.at}`;
    if (booking.registers.includes(id)) return [];
    return [{ id, type: "booking.no_show", time: mark.at, inviteeId, invitee }];
  }
  const [, markedAt] = said?.split(".no_show.") ?? [];
  if (markedAt === undefined) return [];
  const id = `${inviteeId}.no_show_cleared.${markedAt}`;
  return [{ id, type: "booking.no_show_cleared", time: updatedAt, inviteeId, invitee }];
}

/** The promised outcomes whose news is there. Nobody needs the link of a meeting that is off. */
function updateSteps(booking: Booking): RegisterStep[] {
  const last = lastInvitee(booking);
  return booking.owed.flatMap((id): RegisterStep[] => {
    const [inviteeId = "", update] = id.split(".updated.");
    const invitee = booking.invitees[inviteeId];
    if (invitee === undefined) return [];
    const step = { id, type: "booking.updated", inviteeId, invitee } as const;
    if (update === "conference") {
      const isOn = last?.id === inviteeId && !last.canceled;
      if (!isOn || !isPushed(fieldValue(invitee.event.location))) return [];
      return [{ ...step, time: invitee.event.location?.[1] ?? fieldValue(invitee.event.start), changed: "conference" }];
    }
    const form = booking.routingForms[fieldValue(invitee.invitee.routingForm) ?? ""];
    return form === undefined ? [] : [{ ...step, time: form.submittedAt, changed: "routing_form" }];
  });
}
