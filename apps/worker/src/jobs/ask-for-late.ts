import { askForInvitee } from "@calendly-worker/core/calendly/api-deliveries";
import type { CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import { parseInviteeUri } from "@calendly-worker/core/calendly/references";
import type { JobHandler } from "@calendly-worker/core/queues/consumer";
import type { lateDeliveries } from "@calendly-worker/core/queues/contracts";
import { ImpossibleJobError } from "@calendly-worker/core/queues/errors";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import type { LateMemory } from "@calendly-worker/core/store/late-deliveries";
import { askedDelivery } from "../asked-delivery.ts";
import type { Fold } from "../fold.ts";

/** Where Calendly does not say when there is budget again: it counts by the minute. */
const NEXT_BUDGET_MS = 60_000;
const CANCELED = "invitee.canceled/";

/**
 * Asks Calendly for the invitee whom a late delivery was about, and takes up what it says. Once it has said so,
 * further deliveries of the fact are answered as repeats, so that Calendly's retries end.
 */
export function askForLate(ports: {
  readonly client: Pick<CalendlyClient, "invitee" | "scheduledEvent">;
  readonly late: Pick<LateMemory, "confirm">;
  readonly bookings: Pick<BookingStore, "find" | "load">;
  readonly fold: Fold;
  readonly now: () => number;
}): JobHandler<typeof lateDeliveries> {
  const { client, late, bookings, fold, now } = ports;

  async function isActive(inviteeId: string): Promise<boolean> {
    const bookingId = await bookings.find(inviteeId);
    if (bookingId === undefined) return false;
    return (await bookings.load(bookingId)).booking.invitees[inviteeId]?.canceled === false;
  }

  return async ({ identity, inviteeUri }, context) => {
    try {
      const asked = await askForInvitee(client, inviteeUri, { priority: "missing_half" });
      if (asked.kind === "not_found") {
        await late.confirm(identity);
        if (identity.startsWith(CANCELED) && (await isActive(parseInviteeUri(inviteeUri).inviteeId))) {
          throw new ImpossibleJobError("Calendly knows nothing any more of the invitee, who is not canceled here");
        }
        return "gone at Calendly";
      }
      const delivery = askedDelivery(asked.body, now(), identity);
      const result = await fold.delivery(delivery, context);
      const isContradicted = identity.startsWith(CANCELED) && delivery.identity !== identity;
      // Nothing that is canceled is active again: the API will know it soon.
      if (isContradicted) throw new Error("Calendly's API does not know yet that the invitee canceled");
      await late.confirm(identity);
      return result;
    } catch (error) {
      if (error instanceof CalendlyError && error.code === "rate_limited") {
        return { result: "rate limited", againAfterMs: error.details.retryAfterMs ?? NEXT_BUDGET_MS };
      }
      throw error;
    }
  };
}
