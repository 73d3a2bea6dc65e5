import { z } from "zod";
import { isInviteeUri, isResourceUri } from "./references.ts";

// Tolerant on purpose: only what the project cannot work without is required. Calendly may add keys at any time, and
// leaves many known ones null. Keys that nobody asks for are left out where they are not shown to anybody either.

const instant = z.iso.datetime({ offset: true });
const inviteeUri = z.string().refine(isInviteeUri, "expected an invitee's URI");
const resourceUri = z.string().refine(isResourceUri, "expected a resource's URI");
const maybeText = z.string().nullish();

const cancellation = z.object({
  canceled_by: maybeText,
  reason: maybeText,
  canceler_type: maybeText,
  created_at: instant.nullish(),
});

export const scheduledEventPayload = z.object({
  uri: resourceUri,
  name: maybeText,
  status: z.string(),
  start_time: instant,
  end_time: instant,
  updated_at: instant,
  event_type: resourceUri.nullish(),
  location: z.looseObject({ type: maybeText, status: maybeText, join_url: maybeText }).nullish(),
  event_memberships: z
    .array(
      z.object({
        user: z.string(),
        user_email: maybeText,
        user_name: maybeText,
        // The API's answers alone have these.
        buffered_start_time: instant.nullish(),
        buffered_end_time: instant.nullish(),
      }),
    )
    .nullish(),
  invitees_counter: z.object({ total: z.int(), active: z.int() }).nullish(),
  event_guests: z.array(z.object({ email: z.string() })).nullish(),
});

/** Payload of every delivery about an invitee. */
export const inviteePayload = z.object({
  uri: inviteeUri,
  email: maybeText,
  name: maybeText,
  first_name: maybeText,
  last_name: maybeText,
  status: z.enum(["active", "canceled"]),
  timezone: maybeText,
  created_at: instant,
  updated_at: instant,
  rescheduled: z.boolean().nullish(),
  old_invitee: inviteeUri.nullish(),
  new_invitee: inviteeUri.nullish(),
  questions_and_answers: z
    .array(z.object({ question: maybeText, answer: maybeText, position: z.number().nullish() }))
    .nullish(),
  tracking: z.record(z.string(), z.unknown()).nullish(),
  payment: z.looseObject({}).nullish(),
  text_reminder_number: maybeText,
  cancel_url: maybeText,
  reschedule_url: maybeText,
  cancellation: cancellation.nullish(),
  no_show: z.object({ uri: resourceUri, created_at: instant }).nullish(),
  routing_form_submission: resourceUri.nullish(),
  scheduled_event: scheduledEventPayload,
});

export type InviteePayload = z.output<typeof inviteePayload>;

/** Payload of `invitee_no_show.created`. */
export const noShowPayload = inviteePayload.extend({ no_show: inviteePayload.shape.no_show.unwrap().unwrap() });

export const routingFormPayload = z.object({
  uri: resourceUri,
  questions_and_answers: z.array(z.object({ question: maybeText, answer: maybeText })).nullish(),
  created_at: instant,
  result: z.object({ type: maybeText, value: z.unknown() }).nullish(),
});

export type RoutingFormPayload = z.output<typeof routingFormPayload>;

/** Payload of `event_type.*`, and the answer of the API. */
export const eventTypePayload = z.object({
  uri: resourceUri,
  updated_at: instant,
  slug: maybeText,
  active: z.boolean().nullish(),
  deleted_at: maybeText,
  scheduling_url: maybeText,
  kind: maybeText,
  pooling_type: maybeText,
  duration: z.number().nullish(),
});

export type EventTypePayload = z.output<typeof eventTypePayload>;

/** Looked at no further: what is in it is the payload's own matter. */
const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What every delivery has around its payload. */
export const envelope = z.object({
  event: z.string().min(1).max(100),
  created_at: z.string(),
  created_by: maybeText,
  payload: z.custom<Readonly<Record<string, unknown>>>(isObject, "expected an object"),
  /** Calendly sends none: there where this project tests the way of a delivery. */
  test: z.object({ id: z.uuid() }).nullish(),
});
