import type { EventType, Host } from "./catalog.ts";
import { type Answer, type Invitee, isActive, type ScheduledEvent } from "./meetings.ts";
import { timestamp } from "./timestamps.ts";

// The shapes in which Calendly speaks of its things, with every key that it sends.

export type Json = Readonly<Record<string, unknown>>;

const NO_TRACKING = {
  utm_campaign: null,
  utm_source: null,
  utm_medium: null,
  utm_content: null,
  utm_term: null,
  salesforce_uuid: null,
};

/** An invitee as the REST API gives it, without its event. */
export function inviteeResource(invitee: Invitee): Json {
  const { name, id } = invitee;
  return {
    cancel_url: `https://calendly.com/cancellations/${id}`,
    created_at: invitee.createdAt,
    email: invitee.email,
    event: invitee.event.uri,
    first_name: null,
    invitee_scheduled_by: null,
    last_name: null,
    name,
    new_invitee: invitee.next?.uri ?? null,
    no_show: invitee.noShow ?? null,
    old_invitee: invitee.old?.uri ?? null,
    payment: null,
    questions_and_answers: invitee.answers.map(({ question, answer }, position) => ({ question, answer, position })),
    reconfirmation: null,
    reschedule_url: `https://calendly.com/reschedulings/${id}`,
    rescheduled: invitee.next !== undefined,
    routing_form_submission: invitee.routingFormSubmission ?? null,
    scheduling_method: "instant_book",
    status: invitee.status,
    text_reminder_number: null,
    timezone: invitee.timezone,
    tracking: { ...NO_TRACKING, ...invitee.tracking },
    updated_at: invitee.updatedAt,
    uri: invitee.uri,
    ...(invitee.cancellation === undefined ? {} : { cancellation: invitee.cancellation }),
  };
}

/** The payload of every invitee and no-show delivery. */
export function inviteePayload(invitee: Invitee): Json {
  return { ...inviteeResource(invitee), scheduled_event: eventInPayload(invitee.event) };
}

function eventInPayload(event: ScheduledEvent): Json {
  const active = event.invitees.filter(isActive).length;
  return {
    ...(event.cancellation === undefined ? {} : { cancellation: event.cancellation }),
    created_at: event.createdAt,
    end_time: event.end,
    event_guests: [],
    event_memberships: event.hosts.map((host) => ({ user: host.uri, user_email: host.email, user_name: host.name })),
    event_type: event.type.uri,
    invitees_counter: { total: event.invitees.length, active, limit: event.type.limit },
    location: locationOf(event),
    ...(event.notes === undefined ? {} : notesOf(event)),
    name: event.name,
    start_time: event.start,
    status: event.status,
    updated_at: event.updatedAt,
    uri: event.uri,
  };
}

// Deliveries about events without notes lack both keys; the REST API gives them always.
function notesOf({ notes }: ScheduledEvent): Json {
  return { meeting_notes_html: notes === undefined ? null : `<p>${notes}</p>`, meeting_notes_plain: notes ?? null };
}

const BUFFER_MS = 15 * 60_000;

/** A scheduled event as the REST API gives it: with buffer times on its memberships. */
export function eventResource(event: ScheduledEvent): Json {
  const shifted = (time: string, ms: number) => timestamp(Date.parse(time) + ms);
  const buffers = {
    buffered_start_time: shifted(event.start, -BUFFER_MS),
    buffered_end_time: shifted(event.end, BUFFER_MS),
  };
  const payload = eventInPayload(event);
  return {
    ...payload,
    ...notesOf(event),
    event_memberships: (payload["event_memberships"] as Json[]).map((membership) => ({ ...membership, ...buffers })),
    calendar_event: { kind: "google", external_id: `demo${event.id.replaceAll("-", "")}` },
  };
}

function locationOf({ type, id, isPushed }: ScheduledEvent): Json {
  if (!isPushed) return { type: type.location, status: "processing" };
  switch (type.location) {
    case "physical":
      return { type: "physical", location: "12 Harbour Street", additional_info: "" };
    case "google_conference":
      return { type: "google_conference", status: "pushed", join_url: `https://calendly.com/events/${id}/google_meet` };
    case "zoom":
      return {
        type: "zoom",
        status: "pushed",
        join_url: `https://northwind-demo.zoom.example/j/${id.slice(0, 8)}`,
        data: { id: 81234567890 },
      };
    case "webex_conference":
      return {
        type: "webex_conference",
        status: "pushed",
        join_url: `https://northwind-demo.webex.example/j.php?MTID=${id.slice(0, 8)}`,
        data: { id: "m01" },
      };
  }
}

export function eventTypeResource(type: EventType): Json {
  const [owner] = type.hosts;
  return {
    uri: type.uri,
    name: type.name,
    active: type.active,
    slug: type.slug,
    scheduling_url: `https://calendly.com/northwind-demo/${type.slug}`,
    duration: type.minutes,
    duration_options: null,
    kind: type.kind,
    pooling_type: type.poolingType,
    type: "StandardEventType",
    color: "#0069ff",
    created_at: type.createdAt,
    updated_at: type.updatedAt,
    internal_note: null,
    is_paid: false,
    description_plain: null,
    profile:
      type.poolingType === null
        ? { type: "User", name: owner?.name, owner: owner?.uri }
        : { type: "Team", name: "Northwind", owner: null },
    secret: false,
    booking_method: "instant",
    custom_questions: [],
    deleted_at: type.deletedAt,
    admin_managed: false,
    locations: [{ kind: type.location === "zoom" ? "zoom_conference" : type.location }],
    position: 0,
    locale: "en",
  };
}

export function routingFormPayload(
  { uri, form, createdAt }: { readonly uri: string; readonly form: string; readonly createdAt: string },
  answers: readonly (Answer & { readonly uuid: string })[],
  eventType: string,
): Json {
  return {
    uri,
    routing_form: form,
    questions_and_answers: answers.map(({ uuid, question, answer }) => ({ question_uuid: uuid, question, answer })),
    tracking: NO_TRACKING,
    submitter: null,
    submitter_type: null,
    created_at: createdAt,
    updated_at: createdAt,
    result: { type: "event_type", value: eventType },
  };
}

export function userResource(user: Host, organization: string): Json {
  return {
    uri: user.uri,
    name: user.name,
    slug: user.slug,
    email: user.email,
    scheduling_url: `https://calendly.com/${user.slug}`,
    timezone: "America/New_York",
    avatar_url: null,
    created_at: "2024-01-02T03:04:05.678123Z",
    updated_at: "2026-10-01T00:00:00.000000Z",
    current_organization: organization,
    locale: "en",
  };
}
