import { type Booking, holeOf } from "@calendly-worker/core/bookings/booking";
import { lastInvitee } from "@calendly-worker/core/bookings/canonical-log";
import type { Reference } from "@calendly-worker/core/bookings/facts";
import { awaitsLinkUntil } from "@calendly-worker/core/bookings/registers";
import type { conferenceLinks, missingHalves } from "@calendly-worker/core/queues/contracts";
import type { PendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import type { Shards } from "@calendly-worker/core/redis/keys";

/** Sees to it that somebody asks for what is missing. What is needed follows from what is known, not from what changed. */
export interface Unfinished {
  /** Whether anything is needed for the booking. The jobs are there when it resolves. */
  ensureJobs(booking: Booking): Promise<boolean>;
  /** Asks for an invitee whom a known one has followed. */
  ensureAskedFor(invitee: Reference): Promise<void>;
}

export function createUnfinished(ports: {
  readonly shards: Shards;
  readonly halves: PendingJobs<typeof missingHalves>;
  readonly links: PendingJobs<typeof conferenceLinks>;
  /** The delivery of a new half is on its way; so is the link of a new conference. */
  readonly missingHalfGraceMs: number;
  readonly conferenceLinkIntervalMs: number;
  readonly now: () => number;
}): Unfinished {
  const { shards, halves, links, now } = ports;

  async function ask({ id, uri }: Reference, isPassed: boolean): Promise<void> {
    const delayMs = isPassed ? 0 : ports.missingHalfGraceMs;
    await halves.ensure(shards.of(id), { inviteeUri: uri, isPassed }, delayMs);
  }

  return {
    async ensureJobs(booking) {
      const hole = holeOf(booking);
      if (hole !== undefined) await ask(hole.invitee, hole.isPassed);

      const end = awaitsLinkUntil(booking);
      const asksForLink = end !== undefined && Date.parse(end) > now();
      const last = lastInvitee(booking);
      if (asksForLink && last !== undefined) {
        const data = { bookingId: booking.id, inviteeUri: last.invitee.uri[0] };
        await links.ensure(shards.of(booking.id), data, ports.conferenceLinkIntervalMs);
      }
      return hole !== undefined || asksForLink;
    },
    ensureAskedFor: (invitee) => ask(invitee, true),
  };
}
