import { randomUUID } from "node:crypto";
import { timestamp } from "../simulator/timestamps.ts";

const API = "https://api.calendly.com";

/** When all of them meet: in ten days, as a booking is kept only until some time after its end. */
export const MEETING = meetingAt(Math.ceil(Date.now() / 3_600_000) * 3_600_000 + 10 * 86_400_000);

function meetingAt(startMs: number): { readonly start: string; readonly end: string } {
  return { start: timestamp(startMs), end: timestamp(startMs + 1_800_000) };
}

export interface Invitee {
  readonly id: string;
  readonly uri: string;
}

/** A new invitee, of whom nothing has been said yet. */
export function newInvitee(id: string = randomUUID()): Invitee {
  return { id, uri: `${API}/scheduled_events/${randomUUID()}/invitees/${id}` };
}

/** The body of `invitee.created`. */
export function createdBody(invitee: Invitee, old?: Invitee): string {
  return body("invitee.created", invitee, { old_invitee: old?.uri ?? null });
}

/** The body of `invitee.canceled`: of a true cancellation, or of the old half of a reschedule where `next` is given. */
export function canceledBody(invitee: Invitee, { old, next }: { old?: Invitee; next?: Invitee } = {}): string {
  return body("invitee.canceled", invitee, {
    status: "canceled",
    rescheduled: next !== undefined,
    old_invitee: old?.uri ?? null,
    new_invitee: next?.uri ?? null,
    updated_at: "2026-11-24T09:30:00.000000Z",
    cancellation: {
      canceled_by: "Priya Nair",
      reason: "Something came up",
      canceler_type: "invitee",
      created_at: "2026-11-24T09:29:59.000000Z",
    },
  });
}

function body(event: string, invitee: Invitee, fields: object): string {
  return JSON.stringify({
    event,
    created_at: "2026-11-24T09:30:00.000000Z",
    created_by: `${API}/users/0b7a3f52-6c1e-4f3a-8d25-91e4c7b6a001`,
    payload: {
      uri: invitee.uri,
      event: invitee.uri.split("/invitees/")[0],
      email: "priya.nair@acme-corp.example",
      name: "Priya Nair",
      first_name: null,
      last_name: null,
      status: "active",
      timezone: "America/New_York",
      questions_and_answers: [{ question: "Company name", answer: "Acme Corp", position: 0 }],
      tracking: { utm_content: "order-1001" },
      created_at: "2026-11-23T14:05:11.231744Z",
      updated_at: "2026-11-23T14:05:11.231744Z",
      rescheduled: false,
      old_invitee: null,
      new_invitee: null,
      cancel_url: `https://calendly.com/cancellations/${invitee.id}`,
      reschedule_url: `https://calendly.com/reschedulings/${invitee.id}`,
      text_reminder_number: "+12125550147",
      payment: null,
      cancellation: null,
      ...fields,
      scheduled_event: {
        uri: invitee.uri.split("/invitees/")[0],
        event_type: `${API}/event_types/c3d4e5f6-0718-4293-a4b5-c6d7e8f91101`,
        name: "Product Demo (30 min)",
        status: "active",
        start_time: MEETING.start,
        end_time: MEETING.end,
        location: { type: "zoom", status: "pushed", join_url: "https://northwind-demo.zoom.example/j/1" },
        event_memberships: [
          {
            // A host of its own, as all take place at one time.
            user: `${API}/users/${invitee.id}`,
            user_email: "mara.lindqvist@northwind-demo.example",
            user_name: "Mara Lindqvist",
          },
        ],
        event_guests: [],
        created_at: "2026-11-23T14:05:11.204113Z",
        updated_at: "2026-11-23T14:05:11.204113Z",
      },
    },
  });
}
