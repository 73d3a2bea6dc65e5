import { type Booking, type Malformed, mergeFact } from "@calendly-worker/core/bookings/booking";
import type { InviteeFact } from "@calendly-worker/core/bookings/facts";
import { publish } from "@calendly-worker/core/bookings/outcomes";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import type { JobHandler } from "@calendly-worker/core/queues/consumer";
import type { deliveries } from "@calendly-worker/core/queues/contracts";
import { ImpossibleJobError } from "@calendly-worker/core/queues/errors";
import type { BookingStore, Delivery } from "@calendly-worker/core/store/bookings";
import type { Quarantine } from "@calendly-worker/core/store/quarantine";

/** Each lost race means that another commit to the booking went well; more in a row are left to a later try. */
const MAX_CONFLICTS = 20;

/** A delivery, the fact that it states, and the invitee that it waited for where it did. */
interface Pending {
  readonly delivery: Delivery;
  readonly fact: InviteeFact;
  readonly waitedFor?: string;
}

interface Folded {
  readonly booking: Booking;
  /** All that was looked at, whether it became part of the booking or not. */
  readonly pending: readonly Pending[];
  readonly malformed: readonly (Pending & { readonly why: Malformed })[];
}

/** Folds a delivery's fact into its booking and publishes what follows. Repeating it changes nothing. */
export function foldDelivery(ports: {
  readonly bookings: BookingStore;
  readonly quarantine: Quarantine;
}): JobHandler<typeof deliveries> {
  const { bookings, quarantine } = ports;

  return async (delivery, { log, signal }) => {
    const first: Pending = { delivery, fact: factOf(delivery) };
    const { inviteeId, oldInvitee } = first.fact;
    const bookingId = oldInvitee === undefined ? inviteeId : await bookings.findOrWait(oldInvitee, delivery);
    if (bookingId === undefined) {
      log.info({ inviteeId, oldInvitee }, "waits for the invitee that it follows");
      return "waiting";
    }

    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      signal.throwIfAborted();
      const stored = await bookings.load(bookingId);
      const folded = await fold(stored.booking, first);
      const { booking, outcomes } = publish(folded.booking, delivery.origin);
      const changed = JSON.stringify(booking) !== JSON.stringify(stored.booking);
      if (changed && !(await bookings.commit({ version: stored.version, booking, outcomes }))) {
        log.debug({ booking: bookingId }, "lost a race, folding again");
        continue;
      }

      await settle(folded);
      for (const { id, type, subject } of outcomes) log.info({ outcome: id, type, subject }, "published");
      if (folded.malformed.some(({ fact }) => fact === first.fact)) return "quarantined";
      return changed ? "folded" : "unchanged";
    }
    throw new Error(`the booking changed under ${MAX_CONFLICTS} tries in a row to commit to it`);
  };

  /** Adds the fact, and every one that waited for an invitee who is known by now. */
  async function fold(stored: Booking, first: Pending): Promise<Folded> {
    let booking = stored;
    const pending = [first];
    const malformed: (Pending & { why: Malformed })[] = [];
    for (const item of pending) {
      const merge = mergeFact(booking, item.fact);
      if (merge.kind === "malformed") {
        malformed.push({ ...item, why: merge.why });
        continue;
      }
      booking = merge.booking;
      // The index is written before the commit: an entry without its booking harms nobody, a missing one would.
      for (const inviteeId of [item.fact.inviteeId, item.fact.newInvitee]) {
        if (inviteeId === undefined) continue;
        for (const delivery of await bookings.index(inviteeId, booking.id)) {
          if (pending.some((known) => known.delivery.identity === delivery.identity)) continue;
          pending.push({ delivery, fact: factOf(delivery), waitedFor: inviteeId });
        }
      }
    }
    return { booking, pending, malformed };
  }

  /** After the commit, so that a kill in between repeats this rather than loses it. */
  async function settle({ pending, malformed }: Folded): Promise<void> {
    for (const { delivery, why } of malformed) {
      const { identity: id, receivedAt, signedWith, body } = delivery;
      const problems = [`chain: ${why}`];
      await quarantine.keep({
        id,
        reason: "chain_malformed",
        problems,
        receivedAt,
        signedWith,
        body: Buffer.from(body),
      });
    }
    for (const { delivery, waitedFor } of pending) {
      if (waitedFor !== undefined) await bookings.clearWaiting(waitedFor, delivery);
    }
  }
}

/** What ingest has read is read again: the queue is trusted no more than the network. */
function factOf(delivery: Delivery): InviteeFact {
  const reading = readDelivery(Buffer.from(delivery.body));
  if (reading.kind === "fact") return reading.fact;
  const why = reading.kind === "unreadable" ? [reading.reason, ...reading.problems] : [reading.event];
  throw new ImpossibleJobError(`the delivery is not a fact that is handled: ${reading.kind}, ${why.join("; ")}`);
}
