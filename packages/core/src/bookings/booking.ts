import type { BookingFact, InviteeFact, Reference, RoutingForm } from "./facts.ts";
import { type InviteeKnowledge, knowledgeOf, mergeKnowledge } from "./knowledge.ts";

/** A chain of invitees linked by reschedules, and what has been told of it. Plain JSON: it is stored as it is. */
export interface Booking {
  /** Id of the chain's first invitee. */
  readonly id: string;
  readonly invitees: Readonly<Record<string, InviteeKnowledge>>;
  /** Invitees of whom Calendly knows nothing any more. They keep their place in the chain and have no outcome. */
  readonly gone: readonly string[];
  /** Routing forms that an invitee of this booking names, by URI. */
  readonly routingForms: Readonly<Record<string, RoutingForm>>;
  /** Everybody who was ever a host of it, by URI: where its time may be marked as taken. */
  readonly hosts: readonly string[];
  /** Ids of the canonical log's outcomes published so far, in order. */
  readonly published: readonly string[];
  /** Ids of all other outcomes published so far, in order. */
  readonly registers: readonly string[];
  /** Ids of the `updated` outcomes that are promised: a link or an answer was not there yet. */
  readonly owed: readonly string[];
  /** Ids of those outcomes, among the published ones and the registers, that are history: known, and told to nobody. */
  readonly quiet: readonly string[];
  /** Identities of facts that Calendly has delivered although they are history otherwise. */
  readonly heard: readonly string[];
}

/** Why a fact cannot belong to a chain. Calendly makes chains, never trees or rings. */
export type Malformed = "self_link" | "second_predecessor" | "second_successor" | "cycle" | "too_long";

export type Merge =
  | { readonly kind: "merged"; readonly booking: Booking }
  | { readonly kind: "malformed"; readonly why: Malformed };

export const MAX_CHAIN_LENGTH = 100;

export function emptyBooking(id: string): Booking {
  return {
    id,
    invitees: {},
    gone: [],
    routingForms: {},
    hosts: [],
    published: [],
    registers: [],
    owed: [],
    quiet: [],
    heard: [],
  };
}

/** Adds what a fact says to what is known. A fact that is known already changes nothing. */
export function mergeFact(booking: Booking, fact: BookingFact): Merge {
  switch (fact.kind) {
    case "invitee":
      return mergeInvitee(booking, fact);
    case "gone":
      // Whoever is known has had outcomes already.
      return booking.invitees[fact.inviteeId] === undefined
        ? { kind: "merged", booking: { ...booking, gone: withItems(booking.gone, [fact.inviteeId]) } }
        : { kind: "merged", booking };
    case "routing_form":
      return {
        kind: "merged",
        booking: { ...booking, routingForms: { ...booking.routingForms, [fact.form.uri]: fact.form } },
      };
  }
}

function mergeInvitee(booking: Booking, fact: InviteeFact): Merge {
  // An outcome of somebody who was passed over would come after those of the successors.
  if (booking.gone.includes(fact.inviteeId)) return { kind: "merged", booking };
  const known = booking.invitees[fact.inviteeId];
  const conflict = linkConflict(known, fact);
  if (conflict !== undefined) return { kind: "malformed", why: conflict };

  const added = knowledgeOf(fact);
  const knowledge = known === undefined ? added : mergeKnowledge(known, added);
  const hosts = fact.event.fields.hosts?.map(({ uri }) => uri) ?? [];
  const merged = {
    ...booking,
    invitees: { ...booking.invitees, [fact.inviteeId]: knowledge },
    hosts: withItems(booking.hosts, hosts),
  };
  const why = chainFault(merged);
  return why === undefined ? { kind: "merged", booking: merged } : { kind: "malformed", why };
}

/**
 * The ids of the chain from its first invitee on, as far as links are known. The last one may be an invitee of whom
 * nothing but the id is known.
 */
export function chainOf(booking: Booking): string[] {
  const next = new Map(links(booking).map(([from, to]) => [from.id, to.id]));
  const chain: string[] = [];
  for (let id: string | undefined = booking.id; id !== undefined && !chain.includes(id); id = next.get(id))
    chain.push(id);
  return chain;
}

/** Ids of all invitees of a booking, known, gone or only named. */
export function inviteeIdsOf(booking: Booking): string[] {
  const named = links(booking).flat();
  return [...new Set([...Object.keys(booking.invitees), ...booking.gone, ...named.map(({ id }) => id)])];
}

/** An invitee of the chain of whom nothing is known, and whether somebody who is known came after. */
export interface Hole {
  readonly invitee: Reference;
  readonly isPassed: boolean;
}

/** The first place of the chain at which knowledge is missing: outcomes wait there. */
export function holeOf(booking: Booking): Hole | undefined {
  const id = chainOf(booking).find((link) => booking.invitees[link] === undefined && !booking.gone.includes(link));
  const naming = links(booking).filter((link) => link.some((end) => end.id === id));
  const invitee = naming.flat().find((end) => end.id === id);
  return invitee && { invitee, isPassed: naming.some(([from]) => from.id === id) };
}

function linkConflict(known: InviteeKnowledge | undefined, fact: InviteeFact): Malformed | undefined {
  const { inviteeId, oldInvitee, newInvitee } = fact;
  if (oldInvitee?.id === inviteeId || newInvitee?.id === inviteeId) return "self_link";
  if (differ(known?.oldInvitee?.id, oldInvitee?.id)) return "second_predecessor";
  if (differ(known?.newInvitee?.id, newInvitee?.id)) return "second_successor";
  return undefined;
}

function differ(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

function chainFault(booking: Booking): Malformed | undefined {
  const next = new Map<string, string>();
  for (const [{ id: from }, { id: to }] of links(booking)) {
    if (differ(next.get(from), to)) return "second_successor";
    next.set(from, to);
  }
  if (new Set(next.values()).size < next.size) return "second_predecessor";
  if (next.size >= MAX_CHAIN_LENGTH) return "too_long";
  for (const start of next.keys()) {
    let id = next.get(start);
    for (let steps = 0; id !== undefined && steps <= next.size; steps++) {
      if (id === start) return "cycle";
      id = next.get(id);
    }
  }
  return undefined;
}

/** Every link that either of its ends names. */
function links(booking: Booking): [from: Reference, to: Reference][] {
  return Object.entries(booking.invitees).flatMap(([id, { oldInvitee, newInvitee, invitee }]) => {
    const self: Reference = { id, uri: invitee.uri[0] };
    return [
      ...(oldInvitee === undefined ? [] : [[oldInvitee, self] as [Reference, Reference]]),
      ...(newInvitee === undefined ? [] : [[self, newInvitee] as [Reference, Reference]]),
    ];
  });
}

function withItems(known: readonly string[], added: readonly string[]): readonly string[] {
  const fresh = added.filter((item) => !known.includes(item));
  return fresh.length === 0 ? known : [...known, ...fresh].toSorted();
}
