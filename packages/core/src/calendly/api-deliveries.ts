import type { ApiInvitee, ApiScheduledEvent, CalendlyClient } from "./client.ts";
import { CalendlyError } from "./errors.ts";
import type { CallOptions } from "./requester.ts";

/** What Calendly knows of an invitee, in the words of a delivery, so that it takes the same way. */
export type AskedInvitee = { readonly kind: "found"; readonly body: string } | { readonly kind: "not_found" };

/** Asks for an invitee and its event. Rejects with a CalendlyError for all but a clear yes or no. */
export async function askForInvitee(
  client: Pick<CalendlyClient, "invitee" | "scheduledEvent">,
  uri: string,
  options?: CallOptions,
): Promise<AskedInvitee> {
  try {
    const invitee = await client.invitee(uri, options);
    const event = await client.scheduledEvent(uri.split("/invitees/")[0] ?? uri, options);
    return { kind: "found", body: deliveryBody(invitee, event) };
  } catch (error) {
    if (error instanceof CalendlyError && error.code === "not_found") return { kind: "not_found" };
    throw error;
  }
}

/** The delivery that would say the same as the API's answers. */
export function deliveryBody(invitee: ApiInvitee, event: ApiScheduledEvent): string {
  return JSON.stringify({
    event: invitee.status === "canceled" ? "invitee.canceled" : "invitee.created",
    created_at: invitee.updated_at,
    created_by: null,
    payload: { ...invitee, scheduled_event: event },
  });
}
