import type { InviteeFact } from "./facts.ts";
import { type InviteeKnowledge, knowledgeOf, mergeKnowledge } from "./knowledge.ts";

/** A chain of invitees linked by reschedules, and what has been told of it. Plain JSON: it is stored as it is. */
export interface Booking {
  /** Id of the chain's first invitee. */
  readonly id: string;
  readonly invitees: Readonly<Record<string, InviteeKnowledge>>;
  /** Ids of the outcomes published so far, in order. */
  readonly published: readonly string[];
}

/** Why a fact cannot belong to a chain. Calendly makes chains, never trees or rings. */
export type Malformed = "self_link" | "second_predecessor" | "second_successor" | "cycle" | "too_long";

export type Merge =
  | { readonly kind: "merged"; readonly booking: Booking }
  | { readonly kind: "malformed"; readonly why: Malformed };

export const MAX_CHAIN_LENGTH = 100;

export function emptyBooking(id: string): Booking {
  return { id, invitees: {}, published: [] };
}

/** Adds what a fact says to what is known. A fact that is known already changes nothing. */
export function mergeFact(booking: Booking, fact: InviteeFact): Merge {
  const known = booking.invitees[fact.inviteeId];
  const conflict = linkConflict(known, fact);
  if (conflict !== undefined) return { kind: "malformed", why: conflict };

  const added = knowledgeOf(fact);
  const knowledge = known === undefined ? added : mergeKnowledge(known, added);
  const merged = { ...booking, invitees: { ...booking.invitees, [fact.inviteeId]: knowledge } };
  const why = chainFault(merged);
  return why === undefined ? { kind: "merged", booking: merged } : { kind: "malformed", why };
}

/**
 * The ids of the chain from its first invitee on, as far as links are known. The last one may be an invitee of whom
 * nothing but the id is known.
 */
export function chainOf(booking: Booking): string[] {
  const next = successors(booking);
  const chain: string[] = [];
  for (let id: string | undefined = booking.id; id !== undefined && !chain.includes(id); id = next.get(id))
    chain.push(id);
  return chain;
}

function linkConflict(known: InviteeKnowledge | undefined, fact: InviteeFact): Malformed | undefined {
  const { inviteeId, oldInvitee, newInvitee } = fact;
  if (oldInvitee === inviteeId || newInvitee === inviteeId) return "self_link";
  if (differ(known?.oldInvitee, oldInvitee)) return "second_predecessor";
  if (differ(known?.newInvitee, newInvitee)) return "second_successor";
  return undefined;
}

function differ(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}

function chainFault(booking: Booking): Malformed | undefined {
  const claimed = links(booking);
  const next = new Map<string, string>();
  for (const [from, to] of claimed) {
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

function successors(booking: Booking): Map<string, string> {
  return new Map(links(booking));
}

/** Every link that either of its ends names. */
function links(booking: Booking): [from: string, to: string][] {
  return Object.entries(booking.invitees).flatMap(([id, { oldInvitee, newInvitee }]) => [
    ...(oldInvitee === undefined ? [] : [[oldInvitee, id] as [string, string]]),
    ...(newInvitee === undefined ? [] : [[id, newInvitee] as [string, string]]),
  ]);
}
