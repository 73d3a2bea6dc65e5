import type { Booking } from "./booking.ts";
import { canceledAt, lastInvitee } from "./canonical-log.ts";
import type { Origin } from "./facts.ts";
import { fieldValue } from "./knowledge.ts";
import type { Alternatives, ConflictData } from "./outcome-data.ts";
import type { Outcome } from "./outcomes.ts";

/** The time that a booking takes of each of its hosts. Plain JSON: it is stored with the host. */
export interface TakenTime {
  readonly bookingId: string;
  /** Of the booking: a lower one is older news. */
  readonly version: number;
  readonly eventUri: string;
  readonly inviteeUri: string;
  /** URI of the event type, where it is known. */
  readonly eventType?: string;
  /** When the invitee came to be: of two bookings that overlap, the later one made the conflict. */
  readonly since: string;
  readonly start: string;
  readonly end: string;
  /** From when to when each host is busy, by the host's URI: buffer times included where they are known. */
  readonly busy: Readonly<Record<string, { readonly start: string; readonly end: string }>>;
}

/** Two bookings that take the same time of one host. */
export interface Conflict {
  readonly pair: string;
  readonly data: ConflictData;
}

/** What has been told of two bookings. Plain JSON: it is stored with the host. */
export interface PairState {
  /** The conflict that is told and not resolved, under its name. */
  readonly open?: Conflict & { readonly name: string; readonly isHistory?: true };
  /** Names of all conflicts told so far, by whichever host: a booking may be moved away and back again. */
  readonly told: readonly string[];
}

export const NOTHING_TOLD: PairState = { told: [] };

/** What a booking takes; undefined where it is canceled, or where it is not known who holds it now. */
export function takenTime(booking: Booking, version: number): TakenTime | undefined {
  const last = lastInvitee(booking);
  if (last === undefined || last.canceled) return undefined;
  const { event, invitee } = last;
  const [start, end, eventType] = [fieldValue(event.start), fieldValue(event.end), fieldValue(event.eventType)];
  const buffers = fieldValue(event.buffers) ?? {};
  const hosts = fieldValue(event.hosts) ?? [];
  return {
    bookingId: booking.id,
    version,
    eventUri: fieldValue(event.uri),
    inviteeUri: fieldValue(invitee.uri),
    ...(eventType === undefined ? {} : { eventType }),
    since: fieldValue(invitee.createdAt),
    start,
    end,
    busy: Object.fromEntries(hosts.map(({ uri }) => [uri, buffers[uri] ?? { start, end }])),
  };
}

/** When a booking last changed, by the facts' own times: a conflict that it was part of ended then. */
export function changedAt(booking: Booking): string {
  const times = Object.values(booking.invitees).flatMap((known) => [
    fieldValue(known.invitee.createdAt),
    ...(known.canceled ? [canceledAt(known)] : []),
  ]);
  return times.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1) ?? "";
}

/** Whichever of the two comes first, the name is the same. */
export function pairOf(a: string, b: string): string {
  return a < b ? `${a}+${b}` : `${b}+${a}`;
}

/**
 * The conflict of two bookings that `host` has to tell of; undefined where there is none, or where it falls to another
 * host. Invitees of one scheduled event share it. Where both have several hosts in common, the smallest tells.
 */
export function conflictOf(host: string, a: TakenTime, b: TakenTime): Conflict | undefined {
  if (a.bookingId === b.bookingId || a.eventUri === b.eventUri) return undefined;
  const shared = Object.keys(a.busy).flatMap((uri) => {
    const [ours, theirs] = [a.busy[uri], b.busy[uri]];
    if (ours === undefined || theirs === undefined) return [];
    const start = Date.parse(ours.start) >= Date.parse(theirs.start) ? ours.start : theirs.start;
    const end = Date.parse(ours.end) <= Date.parse(theirs.end) ? ours.end : theirs.end;
    return Date.parse(start) < Date.parse(end) ? [{ uri, overlap: { start, end } }] : [];
  });
  const [first] = shared.toSorted((x, y) => (x.uri < y.uri ? -1 : 1));
  if (first?.uri !== host) return undefined;
  const bookings = [a, b].map((taken) => ({
    id: taken.bookingId,
    start: taken.start,
    end: taken.end,
    eventUri: taken.eventUri,
    inviteeUri: taken.inviteeUri,
  }));
  const [smaller, greater] = bookings.toSorted((x, y) => (x.id < y.id ? -1 : 1));
  if (smaller === undefined || greater === undefined) return undefined;
  return {
    pair: pairOf(a.bookingId, b.bookingId),
    data: { bookings: [smaller, greater], host, overlap: first.overlap },
  };
}

/**
 * What follows for one pair: the conflict that ended is resolved before another one is told. `now` is the conflict there
 * is, undefined for none. Gives the same state back where nothing follows.
 */
export function followPair(
  state: PairState,
  now: Conflict | undefined,
  of: {
    /** When the conflict came to be, and when it ended: the facts' own times. */
    readonly since: string;
    readonly until: string;
    readonly alternatives: Alternatives;
    readonly origin: Origin;
    /** In ms: a conflict that came to be before is history, and told to nobody. */
    readonly publishFrom: number;
    /** Names under which other hosts have told of the pair: who tells changes with the hosts that the two share. */
    readonly toldByOthers: readonly string[];
  },
): { readonly state: PairState; readonly outcomes: readonly Outcome[] } {
  const { open } = state;
  if (open?.data.overlap.start === now?.data.overlap.start) return { state, outcomes: [] };
  const { alternatives, origin, publishFrom, toldByOthers } = of;
  const outcomes: Outcome[] = [];
  if (open !== undefined && !open.isHistory) {
    const subject = open.data.bookings[0].id;
    const data = { conflict: open.data, origin };
    outcomes.push({ id: `${open.name}.resolved`, type: "booking.conflict_resolved", subject, time: of.until, data });
  }
  if (now === undefined) return { state: { told: state.told }, outcomes };
  const told = [...new Set([...state.told, ...toldByOthers])];
  const name = newName(now, told);
  const data = { conflict: now.data, alternatives, origin };
  const subject = now.data.bookings[0].id;
  const isHistory = Date.parse(of.since) < publishFrom;
  if (!isHistory)
    outcomes.push({ id: `${name}.detected`, type: "booking.conflict_detected", subject, time: of.since, data });
  const after = { open: { ...now, name, ...(isHistory && { isHistory }) }, told: [...told, name] };
  return { state: after, outcomes };
}

function newName({ pair, data }: Conflict, told: readonly string[]): string {
  const name = `${pair}.conflict.${data.overlap.start}`;
  let again = name;
  for (let times = 2; told.includes(again); times++) again = `${name}.${times}`;
  return again;
}
