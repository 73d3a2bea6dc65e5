import { type Booking, inviteeIdsOf, type Malformed, mergeFact } from "@calendly-worker/core/bookings/booking";
import { referenceOf } from "@calendly-worker/core/bookings/canonical-log";
import { changedAt, takenTime } from "@calendly-worker/core/bookings/conflicts";
import type { BookingFact, InviteeFact, Origin, Reference } from "@calendly-worker/core/bookings/facts";
import { hear } from "@calendly-worker/core/bookings/history";
import { type Outcome, publish, withEventTypes } from "@calendly-worker/core/bookings/outcomes";
import type { DeliveredFact } from "@calendly-worker/core/calendly/deliveries";
import { parseResourceUri } from "@calendly-worker/core/calendly/references";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import type { Place, Shards } from "@calendly-worker/core/redis/keys";
import type { ReplicatedElsewhere } from "@calendly-worker/core/redis/replication";
import { type BookingStore, type Delivery, isDelivered } from "@calendly-worker/core/store/bookings";
import type { EventTypes } from "@calendly-worker/core/store/event-types";
import type { Expectations } from "@calendly-worker/core/store/expectations";
import { type HostTimes, hostIdOf } from "@calendly-worker/core/store/host-times";
import type { KnownEvents } from "@calendly-worker/core/store/known-events";
import type { Quarantine } from "@calendly-worker/core/store/quarantine";
import type { Trace } from "@calendly-worker/core/telemetry/trace";
import type { Admit } from "./admit.ts";
import { createTrails, type Trail } from "./trail.ts";
import type { Unfinished } from "./unfinished.ts";

/** How the folding of a fact ended. */
export type Folded =
  | "folded"
  /** Counted already. */
  | "unchanged"
  /** Kept until the booking is known that it belongs to. */
  | "waiting"
  | "quarantined"
  /** Of somebody who was erased. */
  | "erased"
  | "out_of_scope"
  /** Not told by a delivery, and older than anything that is kept. */
  | "past_retention"
  /** An event type changed: what was remembered of it is forgotten. */
  | "forgotten";

export interface FoldContext extends Pick<JobContext, "log" | "shard" | "signal"> {
  /** Where else than with its job something says that a fact need not be folded any more. */
  readonly marked?: Place;
}

/** Takes facts up into bookings and publishes what follows. Repeating anything of it changes nothing. */
export interface Fold {
  delivery(delivery: Delivery, context: FoldContext): Promise<Folded>;
  /** Calendly does not know an invitee who is in the past. */
  gone(invitee: Reference, context: FoldContext): Promise<Folded>;
}

/** Is told of all that is folded and published. */
export interface FoldMeasure {
  folded(result: Folded | "failed", origin: Origin): void;
  /** `delivery` is what it followed from, where that was one. */
  published(outcomes: readonly Pick<Outcome, "type">[], origin: Origin, delivery: Delivery | undefined): void;
}

/** Each lost race means that another commit to the booking went well; more in a row are left to a later try. */
const MAX_CONFLICTS = 20;

/** A fact, the delivery that states it, and the id that it waited for where it did. */
interface Pending {
  readonly fact: BookingFact;
  readonly delivery?: Delivery;
  readonly waitedFor?: string;
}

interface Merged {
  readonly booking: Booking;
  /** All that was looked at, whether it became part of the booking or not. */
  readonly pending: readonly Pending[];
  readonly malformed: readonly (Pending & { readonly why: Malformed })[];
  /** What waited and is not to be taken up any more. */
  readonly dropped: readonly { readonly waitedFor: string; readonly delivery: Delivery }[];
}

export function createFold(ports: {
  readonly shards: Shards;
  readonly replicatedElsewhere: ReplicatedElsewhere;
  readonly bookings: BookingStore;
  readonly hostTimes: HostTimes;
  readonly eventTypes: EventTypes;
  readonly events: Pick<KnownEvents, "note">;
  readonly expectations: Pick<Expectations, "complete">;
  readonly quarantine: Quarantine;
  readonly unfinished: Unfinished;
  readonly admit: Admit;
  readonly measure: FoldMeasure;
  readonly trace: Trace;
  readonly referenceField: string;
  /** In ms: what happened before at Calendly is known, and told only where Calendly delivers it. */
  readonly publishFrom: () => number;
}): Fold {
  const { bookings, hostTimes, eventTypes, events, expectations, quarantine, unfinished, admit, measure, trace } =
    ports;
  const { referenceField, publishFrom, shards } = ports;
  const withTrail = createTrails(ports);

  /** Which booking a fact belongs to; where that is not known, it waits. */
  async function bookingOf(
    fact: InviteeFact | Extract<DeliveredFact, { kind: "routing_form" }>,
    delivery: Delivery,
    trail: Trail,
  ) {
    if (fact.kind === "routing_form") {
      const bookingId = await bookings.findOrWait(fact.formId, delivery, { canBeAsked: false });
      if (bookingId === undefined) trail.shards.add(shards.of(fact.formId));
      return bookingId;
    }
    if (fact.oldInvitee === undefined) return fact.inviteeId;
    const about = { canBeAsked: true, end: fact.event.fields.end };
    const bookingId = await bookings.findOrWait(fact.oldInvitee.id, delivery, about);
    if (bookingId !== undefined) return bookingId;
    trail.shards.add(shards.of(fact.oldInvitee.id));
    await unfinished.ensureAskedFor(fact.oldInvitee);
    return undefined;
  }

  async function foldInto(
    bookingId: string,
    first: Pending,
    origin: Origin,
    { log, signal }: FoldContext,
    trail: Trail,
  ): Promise<Folded> {
    trail.shards.add(shards.of(bookingId));
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      signal.throwIfAborted();
      const stored = await bookings.load(bookingId);
      const merged = await merge(stored.booking, first, trail);
      const telling = { origin, referenceField, publishFrom: publishFrom() };
      const { booking, outcomes: untyped } = publish(merged.booking, telling);
      const outcomes = await withEventTypes(untyped, eventTypes.find);
      let { version } = stored;
      const changed = JSON.stringify(booking) !== JSON.stringify(stored.booking);
      if (changed) {
        const change = { version, booking, outcomes };
        const commit = await trace("booking.commit", "booking", async (tag) => {
          const result = await bookings.commit(change);
          tag("commit.result", result);
          tag("commit.outcomes", outcomes.length);
          return result;
        });
        if (commit === "erased") return "erased";
        if (commit === "conflict") {
          log.debug({ booking: bookingId }, "lost a race, folding again");
          continue;
        }
        version += 1;
      }

      if (outcomes.length > 0) measure.published(outcomes, origin, first.delivery);
      await keepMalformed(merged, trail);
      for (const host of booking.hosts) trail.shards.add(shards.of(hostIdOf(host)));
      const reference = referenceOf(booking, referenceField);
      const [conflictOutcomes] = await Promise.all([
        hostTimes.take({
          bookingId,
          version,
          hosts: booking.hosts,
          taken: takenTime(booking, version),
          changedAt: changedAt(booking),
          origin,
        }),
        noteInvitees(booking, merged.pending),
        reference === undefined ? undefined : expectations.complete(reference, booking.id),
      ]);
      await unfinished.ensureJobs(booking);
      measure.published(conflictOutcomes, origin, undefined);
      for (const { id, type, subject } of [...outcomes, ...conflictOutcomes]) {
        log.info({ outcome: id, type, subject }, "published");
      }
      for (const { delivery, waitedFor } of [...merged.pending, ...merged.dropped]) {
        if (delivery !== undefined && waitedFor !== undefined) trail.settled.push({ delivery, waitedFor });
      }
      if (merged.malformed.some(({ fact }) => fact === first.fact)) return "quarantined";
      return changed ? "folded" : "unchanged";
    }
    throw new Error(`the booking changed under ${MAX_CONFLICTS} tries in a row to commit to it`);
  }

  /** Adds the fact, and every one that waited for something which is known by now. */
  async function merge(stored: Booking, first: Pending, trail: Trail): Promise<Merged> {
    let booking = stored;
    const pending = [first];
    const malformed: (Pending & { why: Malformed })[] = [];
    const dropped: { waitedFor: string; delivery: Delivery }[] = [];
    /** The index is written before the commit: an entry without its booking harms nobody, a missing one would. */
    async function indexAll(ids: readonly string[]): Promise<void> {
      for (const id of ids) {
        trail.shards.add(shards.of(id));
        for (const delivery of await bookings.index(id, booking)) {
          if (pending.some((known) => known.delivery?.identity === delivery.identity)) continue;
          const admission = await admit(delivery);
          if (admission.kind === "dropped") dropped.push({ waitedFor: id, delivery });
          else if (admission.fact.kind !== "event_type")
            pending.push({ fact: admission.fact, delivery, waitedFor: id });
        }
      }
    }
    for (const item of pending) {
      const step = mergeFact(booking, item.fact);
      if (step.kind === "malformed") malformed.push({ ...item, why: step.why });
      else {
        const heard = factDelivered(item);
        booking = heard === undefined ? step.booking : hear(step.booking, item.fact, heard, publishFrom());
      }
      const named = step.kind === "malformed" ? [] : idsNamedBy(item.fact);
      await indexAll(named);
      if (item !== pending.at(-1)) continue;
      // A later fact finds the booking by an invitee that this one may not name: each entry lasts as long as the booking.
      await indexAll(inviteeIdsOf(booking).filter((id) => !named.includes(id)));
    }
    return { booking, pending, malformed, dropped };
  }

  /** For sweeps to see whom they need not ask for. */
  async function noteInvitees(booking: Booking, pending: readonly Pending[]): Promise<void> {
    for (const { fact } of pending) {
      if (fact.kind !== "invitee") continue;
      const { uri, end } = fact.event.fields;
      const isActive = booking.invitees[fact.inviteeId]?.canceled === false && !fact.canceled;
      await events.note({ id: parseResourceUri(uri), end }, fact.inviteeId, isActive);
    }
  }

  /** After the commit, so that a kill in between repeats this rather than loses it. */
  async function keepMalformed({ malformed }: Merged, trail: Trail): Promise<void> {
    for (const { delivery, why } of malformed) {
      if (delivery === undefined) continue;
      trail.shards.add(shards.first);
      const { identity: id, receivedAt, signedWith, body } = delivery;
      await quarantine.keep({
        id,
        reason: "chain_malformed",
        problems: [`chain: ${why}`],
        receivedAt,
        ...(signedWith && { signedWith }),
        body: Buffer.from(JSON.stringify(body)),
      });
    }
  }

  async function takeUp(delivery: Delivery, context: FoldContext, trail: Trail): Promise<Folded> {
    const admission = await admit(delivery);
    if (admission.kind === "dropped") return admission.why;
    const { fact } = admission;
    if (fact.kind === "event_type") {
      await eventTypes.forget(fact.eventType);
      return "forgotten";
    }
    const bookingId = await bookingOf(fact, delivery, trail);
    if (bookingId === undefined) return "waiting";
    return await foldInto(bookingId, { fact, delivery }, delivery.origin, context, trail);
  }

  return {
    delivery: (delivery, context) =>
      withTrail(endedIn(context), async (trail) => {
        let result: Folded | "failed" = "failed";
        try {
          result = await takeUp(delivery, context, trail);
          return result;
        } finally {
          measure.folded(result, delivery.origin);
        }
      }),

    gone: ({ id }, context) =>
      withTrail(endedIn(context), async (trail) => {
        const bookingId = (await bookings.find(id)) ?? id;
        const fact = { kind: "gone", identity: `gone/${id}`, inviteeId: id } as const;
        return await foldInto(bookingId, { fact }, "reconcile", context, trail);
      }),
  };
}

const endedIn = ({ shard, marked }: FoldContext) => (marked === undefined ? [shard] : [shard, marked]);

/** Identity of the fact that Calendly has told by itself; undefined where it has only been asked. */
function factDelivered({ fact, delivery }: Pending): string | undefined {
  if (delivery === undefined || !isDelivered(delivery)) return undefined;
  return delivery.deliveredLate ?? fact.identity;
}

/** Ids that belong to the same booking as the fact: whoever waits for one of them can be taken up. */
function idsNamedBy(fact: BookingFact): string[] {
  switch (fact.kind) {
    case "invitee": {
      const { routingForm } = fact.invitee.fields;
      const ids = [fact.inviteeId, fact.newInvitee?.id, routingForm && parseResourceUri(routingForm)];
      return ids.filter((id) => id !== undefined && id !== "") as string[];
    }
    case "gone":
      return [fact.inviteeId];
    case "routing_form":
      return [];
  }
}
