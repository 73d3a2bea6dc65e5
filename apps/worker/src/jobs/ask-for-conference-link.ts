import { awaitsLinkUntil } from "@calendly-worker/core/bookings/registers";
import { askForInvitee } from "@calendly-worker/core/calendly/api-deliveries";
import type { CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { Again, JobHandler } from "@calendly-worker/core/queues/consumer";
import type { conferenceLinks } from "@calendly-worker/core/queues/contracts";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import { askedDelivery } from "../asked-delivery.ts";
import type { Fold } from "../fold.ts";

const LONGEST_INTERVAL_MS = 3_600_000;

/**
 * Asks Calendly whether the conference link of a booking is there by now, in intervals that double up to an hour, until
 * it is, the booking is off or its event is over.
 */
export function askForConferenceLink(ports: {
  readonly client: Pick<CalendlyClient, "invitee" | "scheduledEvent">;
  readonly bookings: BookingStore;
  readonly fold: Fold;
  readonly intervalMs: number;
  readonly now: () => number;
}): JobHandler<typeof conferenceLinks> {
  const { client, bookings, fold, intervalMs, now } = ports;

  return async ({ bookingId, inviteeUri }, context) => {
    if (!(await isAwaited(bookingId))) return "not needed";
    const again = (result: string): Again => {
      return { result, againAfterMs: Math.min(intervalMs * 2 ** context.starts, LONGEST_INTERVAL_MS) };
    };
    try {
      const asked = await askForInvitee(client, inviteeUri, { priority: "missing_half" });
      if (asked.kind === "not_found") return "gone at Calendly";
      await fold.delivery(askedDelivery(asked.body, now()), context);
    } catch (error) {
      if (!(error instanceof CalendlyError)) throw error;
      context.log.warn({ err: error }, "could not ask for a conference link");
      return again("calendly unavailable");
    }
    return (await isAwaited(bookingId)) ? again("not ready") : "there";
  };

  async function isAwaited(bookingId: string): Promise<boolean> {
    const end = awaitsLinkUntil((await bookings.load(bookingId)).booking);
    return end !== undefined && Date.parse(end) > now();
  }
}
