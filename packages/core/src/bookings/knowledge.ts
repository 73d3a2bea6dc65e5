import { isPushed } from "./conference.ts";
import type { EventFields, InviteeFact, InviteeFields, Location, NoShow, Reference } from "./facts.ts";

/** A field's value and the `updated_at` of the payload it came with. */
type Stamp<Value = unknown> = readonly [value: Value, updatedAt: string];
export type Stamped<Fields> = { readonly [Name in keyof Fields]: Stamp<Fields[Name]> };

/** All that is known of one invitee. Plain JSON: it is stored as it is. */
export interface InviteeKnowledge {
  readonly canceled: boolean;
  readonly rescheduled: boolean;
  readonly oldInvitee?: Reference;
  readonly newInvitee?: Reference;
  readonly noShow: Stamp<NoShow | null>;
  readonly invitee: Stamped<InviteeFields>;
  readonly event: Stamped<EventFields>;
}

export function knowledgeOf(fact: InviteeFact): InviteeKnowledge {
  const { canceled, rescheduled, oldInvitee, newInvitee, noShow, invitee, event } = fact;
  return {
    canceled,
    rescheduled,
    ...(oldInvitee === undefined ? {} : { oldInvitee }),
    ...(newInvitee === undefined ? {} : { newInvitee }),
    noShow: [noShow.mark, noShow.updatedAt],
    invitee: stamp(invitee.fields, invitee.updatedAt),
    event: stamp(event.fields, event.updatedAt),
  };
}

/**
 * Merges two pieces of knowledge of one invitee. Commutative, associative and idempotent, so that order and repetition
 * of facts do not matter: flags and links never revert; of each other field the newer value wins, then the greater
 * canonical JSON; absent loses to present. Links are compared by the caller: two different ones are a malformed chain.
 */
export function mergeKnowledge(a: InviteeKnowledge, b: InviteeKnowledge): InviteeKnowledge {
  const oldInvitee = a.oldInvitee ?? b.oldInvitee;
  const newInvitee = a.newInvitee ?? b.newInvitee;
  return {
    canceled: a.canceled || b.canceled,
    rescheduled: a.rescheduled || b.rescheduled,
    ...(oldInvitee === undefined ? {} : { oldInvitee }),
    ...(newInvitee === undefined ? {} : { newInvitee }),
    noShow: newer(a.noShow, b.noShow),
    invitee: mergeStamped(a.invitee, b.invitee),
    event: mergeStamped(a.event, b.event),
  };
}

/** The value of a field, without its stamp. */
export function fieldValue<Field extends Stamp | undefined>(
  field: Field,
): Field extends Stamp<infer Value> ? Value : undefined {
  return field?.[0] as Field extends Stamp<infer Value> ? Value : undefined;
}

function stamp<Fields extends object>(fields: Fields, updatedAt: string): Stamped<Fields> {
  const stamped = Object.entries(fields).map(([name, value]) => [name, [value, updatedAt]] as const);
  return sortKeys(Object.fromEntries(stamped)) as Stamped<Fields>;
}

type AnyStamped = Record<string, Stamp>;

function mergeStamped<S extends object>(a: S, b: S): S {
  const merged: AnyStamped = { ...(a as AnyStamped) };
  for (const [name, field] of Object.entries(b as AnyStamped)) {
    const known = merged[name];
    merged[name] = known === undefined ? field : newer(field, known);
  }
  return sortKeys(merged) as S;
}

function newer<Value>(a: Stamp<Value>, b: Stamp<Value>): Stamp<Value> {
  return compareStamped(a, b) > 0 ? a : b;
}

function compareStamped([value, at]: Stamp, [otherValue, otherAt]: Stamp): number {
  return (
    Date.parse(at) - Date.parse(otherAt) ||
    compareText(at, otherAt) ||
    // Nothing promises that an event's time of change moves when its conference link is there.
    Number(isPushed(value as Location)) - Number(isPushed(otherValue as Location)) ||
    compareText(canonical(value), canonical(otherValue))
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** JSON with sorted keys, the same for equal values however they were built. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? sortKeys(part as Record<string, unknown>)
      : part,
  );
}

function sortKeys<T>(fields: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => compareText(a, b)));
}
