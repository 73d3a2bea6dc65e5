import { createHash } from "node:crypto";
import type { Booking } from "../bookings/booking.ts";
import { lastInvitee, referenceOf } from "../bookings/canonical-log.ts";
import { fieldValue } from "../bookings/knowledge.ts";
import { idOf } from "../outcomes/outcome-filter.ts";

// A shard's bookings are found by the members of one sorted set, which are compared as texts:
// `<what>:<digest of it>:<start>:<booking id>`. So all that share something are next to each other, by their start.

/** By what bookings are found. Values are compared whole; of a URI its last part counts. */
export const LOOKUPS = ["email", "reference", "host", "eventType", "start"] as const;
export type Lookup = (typeof LOOKUPS)[number];

/** What all members begin with that stand for one value. */
export function lookupPrefix(lookup: Lookup, value = ""): string {
  const normal = lookup === "email" ? value.trim().toLowerCase() : lookup === "reference" ? value : idOf(value);
  return lookup === "start" ? "start:" : `${lookup}:${createHash("sha256").update(normal).digest("hex").slice(0, 24)}:`;
}

/** How a start is written, so that texts compare as times do. */
export function startText(ms: number): string {
  return String(Math.max(ms, 0)).padStart(14, "0");
}

/** All members that stand for a booking; none while nobody of its chain is known. */
export function lookupsOf(booking: Booking, referenceField: string): string[] {
  const known = lastInvitee(booking);
  if (known === undefined) return [];
  const { invitee, event } = known;
  const reference = referenceOf(booking, referenceField);
  const email = fieldValue(invitee.email);
  const eventType = fieldValue(event.eventType);
  const prefixes = [
    lookupPrefix("start"),
    ...(email ? [lookupPrefix("email", email)] : []),
    ...(reference !== undefined ? [lookupPrefix("reference", reference)] : []),
    ...(eventType ? [lookupPrefix("eventType", eventType)] : []),
    ...(fieldValue(event.hosts) ?? []).map(({ uri }) => lookupPrefix("host", uri)),
  ];
  const place = `${startText(Date.parse(fieldValue(event.start)))}:${booking.id}`;
  return [...new Set(prefixes)].map((prefix) => `${prefix}${place}`);
}
