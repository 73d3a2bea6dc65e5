import { type AskedInvitee, askForInvitee } from "@calendly-worker/core/calendly/api-deliveries";
import type { CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import { parseInviteeUri } from "@calendly-worker/core/calendly/references";
import type { JobContext, JobHandler } from "@calendly-worker/core/queues/consumer";
import type { missingHalves } from "@calendly-worker/core/queues/contracts";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import { askedDelivery } from "../asked-delivery.ts";
import type { Fold, Folded } from "../fold.ts";

interface Ports {
  readonly client: Pick<CalendlyClient, "invitee" | "scheduledEvent">;
  readonly bookings: BookingStore;
  readonly fold: Fold;
  readonly now: () => number;
}

/** A budget that is used up is no failure of the job, but it must not go round for ever either. */
const MOST_STARTS = 100;
/** Where Calendly does not say when there is budget again: it counts by the minute. */
const NEXT_BUDGET_MS = 60_000;
/** What Calendly tells is not taken up, and would not be the next time. */
const LEFT_OUT: ReadonlySet<Folded> = new Set(["out_of_scope", "past_retention"]);
const IN_VAIN: ReadonlySet<Folded> = new Set([...LEFT_OUT, "erased", "quarantined"]);

/**
 * Asks Calendly for an invitee whom nobody has told of, unless somebody has by now. One in the past that Calendly does
 * not know was erased there; one to come may still appear. What is asked for in vain, or told of what is not taken up, is
 * listed as incomplete.
 */
export function findMissingHalf(ports: Ports): JobHandler<typeof missingHalves> {
  const { client, bookings, fold, now } = ports;

  return async ({ inviteeUri, isPassed }, context) => {
    const { inviteeId } = parseInviteeUri(inviteeUri);
    if (await isKnown(inviteeId)) {
      // What a commit has left to do is done where it was this job's, and the process was killed after it.
      return context.starts === 1 ? "known already" : await fold.gone({ id: inviteeId, uri: inviteeUri }, context);
    }
    const isAwaited = isPassed || (await bookings.waitingFor(inviteeId)).length > 0;

    let asked: AskedInvitee;
    try {
      asked = await askForInvitee(client, inviteeUri, { priority: "missing_half" });
    } catch (error) {
      if (error instanceof CalendlyError && error.code === "rate_limited" && context.starts < MOST_STARTS) {
        return { result: "rate limited", againAfterMs: error.details.retryAfterMs ?? NEXT_BUDGET_MS };
      }
      await listWhenGivenUp(inviteeId, context);
      throw error;
    }
    if (asked.kind === "not_found" && !isAwaited) {
      await listWhenGivenUp(inviteeId, context);
      throw new Error("Calendly does not know the new invitee of a reschedule");
    }
    const reference = { id: inviteeId, uri: inviteeUri };
    let result =
      asked.kind === "found"
        ? await fold.delivery(askedDelivery(asked.body, now()), context)
        : await fold.gone(reference, context);
    if (isAwaited && LEFT_OUT.has(result)) result = await fold.gone(reference, context);
    if (IN_VAIN.has(result) && !(await isKnown(inviteeId))) await list(inviteeId, context.log, result);
    return result;
  };

  async function isKnown(inviteeId: string): Promise<boolean> {
    const bookingId = await bookings.find(inviteeId);
    if (bookingId === undefined) return false;
    const { booking } = await bookings.load(bookingId);
    return booking.invitees[inviteeId] !== undefined || booking.gone.includes(inviteeId);
  }

  async function listWhenGivenUp(inviteeId: string, { isLastAttempt, log }: JobContext): Promise<void> {
    if (isLastAttempt) await list(inviteeId, log);
  }

  async function list(inviteeId: string, log: JobContext["log"], result?: Folded): Promise<void> {
    const id = (await bookings.find(inviteeId)) ?? inviteeId;
    await bookings.listIncomplete(id, { isAnswered: result !== undefined });
    log.error({ incomplete: id, inviteeId, ...(result && { result }) }, "listed as incomplete");
  }
}
