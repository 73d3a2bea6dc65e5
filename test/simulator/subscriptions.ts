import type { Happening } from "./account.ts";
import type { Json } from "./payloads.ts";

export const FAMILIES = {
  invitee: ["invitee.created", "invitee.canceled"],
  noShow: ["invitee_no_show.created", "invitee_no_show.deleted"],
  routingForm: ["routing_form_submission.created"],
  eventType: ["event_type.created", "event_type.updated", "event_type.deleted"],
  meetingRecap: ["meeting_recap.created", "meeting_recap.updated", "meeting_recap.deleted"],
  contact: ["contact.created", "contact.updated", "contact.deleted"],
} as const;

/** Note what is not there: Calendly refuses a subscription to invitee.rescheduled. */
export const SUBSCRIBABLE: readonly string[] = Object.values(FAMILIES).flat();

/** The scope that a token needs to hear of an event. */
export function readScope(event: string): string {
  if (event.startsWith("routing_form")) return "routing_forms:read";
  if (event.startsWith("event_type")) return "event_types:read";
  if (event.startsWith("contact")) return "contacts:read";
  return "scheduled_events:read";
}

export interface Subscription {
  readonly id: string;
  readonly uri: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly scope: "organization" | "user" | "group";
  readonly organization: string;
  readonly user: string | null;
  readonly group: string | null;
  readonly creator: string;
  readonly createdAt: string;
  /** Never told to anybody. */
  readonly signingKey: string;
  updatedAt: string;
  state: "active" | "disabled";
  retryStartedAt: string | null;
}

export function subscriptionResource(subscription: Subscription): Json {
  return {
    uri: subscription.uri,
    callback_url: subscription.url,
    created_at: subscription.createdAt,
    updated_at: subscription.updatedAt,
    retry_started_at: subscription.retryStartedAt,
    state: subscription.state,
    events: subscription.events,
    scope: subscription.scope,
    organization: subscription.organization,
    user: subscription.user,
    group: subscription.group,
    creator: subscription.creator,
  };
}

/** Whether a subscription hears of what happened. */
export function hears(subscription: Subscription, { event, users }: Happening): boolean {
  if (subscription.state !== "active" || !subscription.events.includes(event)) return false;
  return (
    subscription.scope === "organization" ||
    (subscription.user !== null && (users?.includes(subscription.user) ?? false))
  );
}
