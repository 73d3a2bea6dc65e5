import { askForInvitee } from "@calendly-worker/core/calendly/api-deliveries";
import type { CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { JobHandler } from "@calendly-worker/core/queues/consumer";
import type { lateDeliveries } from "@calendly-worker/core/queues/contracts";
import type { LateMemory } from "@calendly-worker/core/store/late-deliveries";
import { askedDelivery } from "../asked-delivery.ts";
import type { Fold } from "../fold.ts";

/** Where Calendly does not say when there is budget again: it counts by the minute. */
const NEXT_BUDGET_MS = 60_000;

/**
 * Asks Calendly for the invitee whom a late delivery was about, and takes up what it says. Once it has said so,
 * further deliveries of the fact are answered as repeats, so that Calendly's retries end.
 */
export function askForLate(ports: {
  readonly client: Pick<CalendlyClient, "invitee" | "scheduledEvent">;
  readonly late: Pick<LateMemory, "confirm">;
  readonly fold: Fold;
  readonly now: () => number;
}): JobHandler<typeof lateDeliveries> {
  const { client, late, fold, now } = ports;

  return async ({ identity, inviteeUri }, context) => {
    try {
      const asked = await askForInvitee(client, inviteeUri, { priority: "missing_half" });
      if (asked.kind === "not_found") {
        await late.confirm(identity);
        return "gone at Calendly";
      }
      const delivery = askedDelivery(asked.body, now());
      const result = await fold.delivery(delivery, context);
      const isContradicted = identity.startsWith("invitee.canceled/") && delivery.identity !== identity;
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
