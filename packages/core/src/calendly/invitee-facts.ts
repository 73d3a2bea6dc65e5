import type { EventFields, InviteeFact, InviteeFields, Reference } from "../bookings/facts.ts";
import type { InviteePayload } from "./payloads.ts";
import { parseInviteeUri, parseResourceUri } from "./references.ts";

/**
 * The fact that an invitee's payload states.
 *
 * `invitee.created` and `invitee.canceled` happen at most once for an invitee, so the event's name and the invitee's id
 * are the fact's identity; the scheduled event would not do, as a group event has many invitees. A no-show can be marked
 * again and again: each mark has a URI of its own, and each clearing a time. Calendly does not send
 * `invitee.rescheduled`; should it come one day, it is the half that its fields say.
 */
export function inviteeFact(event: string, payload: InviteePayload): InviteeFact {
  const { inviteeId } = parseInviteeUri(payload.uri);
  const canceled = event === "invitee.canceled" || payload.status === "canceled";
  return {
    kind: "invitee",
    identity: identityOf(event, inviteeId, canceled, payload),
    inviteeId,
    canceled,
    rescheduled: payload.rescheduled === true || typeof payload.new_invitee === "string",
    ...(payload.old_invitee ? { oldInvitee: referenceOf(payload.old_invitee) } : {}),
    ...(payload.new_invitee ? { newInvitee: referenceOf(payload.new_invitee) } : {}),
    noShow: noShowOf(payload),
    invitee: { updatedAt: payload.updated_at, fields: inviteeFields(payload) },
    event: { updatedAt: payload.scheduled_event.updated_at, fields: eventFields(payload.scheduled_event) },
  };
}

function identityOf(event: string, inviteeId: string, canceled: boolean, payload: InviteePayload): string {
  switch (event) {
    case "invitee.rescheduled":
      return `${canceled ? "invitee.canceled" : "invitee.created"}/${inviteeId}`;
    case "invitee_no_show.created":
      return `${event}/${parseResourceUri(payload.no_show?.uri ?? "")}`;
    case "invitee_no_show.deleted":
      return `${event}/${inviteeId}/${payload.updated_at}`;
    default:
      return `${event}/${inviteeId}`;
  }
}

const referenceOf = (uri: string): Reference => ({ id: parseInviteeUri(uri).inviteeId, uri });

/** Every payload says whether somebody is marked. A mark is as new as itself, should the payload be dated older. */
function noShowOf({ no_show: mark, updated_at }: InviteePayload): InviteeFact["noShow"] {
  if (!mark) return { updatedAt: updated_at, mark: null };
  const updatedAt = Date.parse(mark.created_at) > Date.parse(updated_at) ? mark.created_at : updated_at;
  return { updatedAt, mark: { uri: mark.uri, at: mark.created_at } };
}

function inviteeFields(payload: InviteePayload): InviteeFields {
  const { cancellation } = payload;
  return withoutAbsent({
    uri: payload.uri,
    createdAt: payload.created_at,
    email: payload.email,
    name: payload.name,
    firstName: payload.first_name,
    lastName: payload.last_name,
    timezone: payload.timezone,
    phone: payload.text_reminder_number,
    answers: payload.questions_and_answers?.map(({ question, answer }) => ({
      question: question ?? null,
      answer: answer ?? null,
    })),
    tracking: payload.tracking,
    payment: payload.payment,
    cancelUrl: payload.cancel_url,
    rescheduleUrl: payload.reschedule_url,
    routingForm: payload.routing_form_submission,
    cancellation: cancellation && {
      by: cancellation.canceled_by ?? null,
      byType: cancellation.canceler_type ?? null,
      reason: cancellation.reason ?? null,
      at: cancellation.created_at ?? null,
    },
  });
}

function eventFields(event: InviteePayload["scheduled_event"]): EventFields {
  return withoutAbsent({
    uri: event.uri,
    name: event.name,
    start: event.start_time,
    end: event.end_time,
    eventType: event.event_type,
    location: event.location,
    guests: event.event_guests?.map(({ email }) => email),
    hosts: event.event_memberships?.map((host) => ({
      uri: host.user,
      name: host.user_name ?? null,
      email: host.user_email ?? null,
    })),
    buffers: buffersOf(event),
  });
}

function buffersOf({ event_memberships, start_time, end_time }: InviteePayload["scheduled_event"]) {
  const buffered = (event_memberships ?? []).filter((host) => host.buffered_start_time || host.buffered_end_time);
  if (buffered.length === 0) return undefined;
  return Object.fromEntries(
    buffered.map((host) => [
      host.user,
      { start: host.buffered_start_time ?? start_time, end: host.buffered_end_time ?? end_time },
    ]),
  );
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : null extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : null extends T[K] ? K : never]?: NonNullable<T[K]>;
};

/** Null and undefined say the same here: Calendly does not know. Absence is what merging understands. */
function withoutAbsent<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null)) as Present<T>;
}
