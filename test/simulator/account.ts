import { AccountError } from "./account-error.ts";
import { type Catalog, createEventTypes, type EventTypeChange, type NewEventType } from "./catalog.ts";
import { type Answer, createMeetings, type Invitee, isActive, type Person, type ScheduledEvent } from "./meetings.ts";
import { eventTypeResource, inviteePayload, type Json, routingFormPayload } from "./payloads.ts";
import type { Random } from "./random.ts";

/** Something that happened, with the payload that Calendly tells it with. */
export interface Happening {
  readonly event: string;
  readonly createdAt: string;
  readonly payload: Json;
  /** Users whose own subscriptions hear of it; undefined where only the organization's do. */
  readonly users: readonly string[] | undefined;
}

export interface Booking extends Pick<Person, "name" | "email">, Partial<Omit<Person, "name" | "email">> {
  /** Slug or URI of the event type. */
  readonly eventType: string;
  /** When it begins, ISO 8601. */
  readonly start: string;
  /** Slug, name or URI: who takes a round robin. Drawn where it is not given. */
  readonly host?: string;
  readonly notes?: string;
  /** The conference gets its link only with `pushConference`; Calendly sends no delivery for that. */
  readonly conferenceLater?: boolean;
}

export type Account = ReturnType<typeof createAccount>;

const WITHOUT_DETAILS = { timezone: "America/New_York", answers: [], tracking: {} };

/** One organization: what it has, what happens in it, and the history of that. `now` gives milliseconds. */
export function createAccount(ports: {
  readonly catalog: Catalog;
  readonly random: Random;
  readonly baseUrl: string;
  readonly now: () => number;
  readonly stamp: () => string;
  readonly tell: (happening: Happening) => void;
}) {
  const { catalog, random, baseUrl, now, stamp } = ports;
  const meetings = createMeetings({ random, baseUrl, stamp });
  const eventTypes = createEventTypes({ catalog, random, baseUrl, stamp });
  const history: Happening[] = [];

  function tell(event: string, payload: Json, users: Happening["users"]): void {
    const createdAt = `${new Date(now()).toISOString().slice(0, 19)}.000000Z`;
    const happening = { event, createdAt, payload, users };
    history.push(happening);
    ports.tell(happening);
  }

  function tellOf(event: string, invitee: Invitee): Invitee {
    const users = invitee.event.hosts.map(({ uri }) => uri);
    tell(event, inviteePayload(invitee), users);
    return invitee;
  }

  const tellOfType = (event: string, type: ReturnType<typeof eventTypes.find>) => {
    const users = type.hosts.map(({ uri }) => uri);
    tell(event, eventTypeResource(type), users);
    return type;
  };

  return {
    catalog,
    events: meetings.events,
    eventsById: meetings.eventsById,
    eventsBetween: meetings.eventsBetween,
    invitees: meetings.invitees,
    /** All that happened, in order. */
    history: (): readonly Happening[] => history,

    book({ eventType, start, host, notes, conferenceLater = false, ...person }: Booking): Invitee {
      const type = eventTypes.findOpen(eventType);
      if (conferenceLater && type.location === "physical")
        throw new AccountError(`the event type "${eventType}" takes place at no conference`);
      const slot = { type, start, conferenceLater, ...(host && { host }), ...(notes && { notes }) };
      return tellOf("invitee.created", meetings.invite(meetings.schedule(slot), { ...WITHOUT_DETAILS, ...person }));
    },

    cancel(id: string, by: "invitee" | "host" = "invitee", reason: string | null = null): Invitee {
      const invitee = meetings.activeInvitee(id);
      const canceled_by = by === "host" ? nameOfHost(invitee.event) : invitee.name;
      meetings.release(invitee.event, [invitee], { canceled_by, reason, canceler_type: by });
      return tellOf("invitee.canceled", invitee);
    },

    /** Two happenings, the old half first; gives the new invitee. */
    reschedule(id: string, start: string, reason: string | null = null): Invitee {
      const old = meetings.activeInvitee(id);
      const { event } = old;
      if (event.type.limit > 1 && Date.parse(start) === Date.parse(event.start))
        throw new AccountError(`the invitee "${id}" is in the event at ${start} already`);
      const next = meetings.invite(meetings.schedule({ type: event.type, start }), old, old);
      old.next = next;
      meetings.release(event, [old], { canceled_by: old.name, reason, canceler_type: "invitee" });
      tellOf("invitee.canceled", old);
      return tellOf("invitee.created", next);
    },

    /** The host cancels the event for everybody. */
    cancelEvent(id: string, reason: string | null = null): ScheduledEvent {
      const event = meetings.activeEvent(id);
      const leaving = event.invitees.filter(isActive);
      meetings.release(event, leaving, { canceled_by: nameOfHost(event), reason, canceler_type: "host" });
      for (const invitee of leaving) tellOf("invitee.canceled", invitee);
      return event;
    },

    pushConference: meetings.pushConference,
    forget: meetings.forget,

    markNoShow(id: string): Invitee {
      const invitee = meetings.activeInvitee(id);
      if (invitee.noShow !== undefined) throw new AccountError(`the invitee "${id}" is marked as a no-show already`);
      invitee.noShow = { uri: `${baseUrl}/invitee_no_shows/${random.uuid()}`, created_at: stamp() };
      invitee.updatedAt = stamp();
      return tellOf("invitee_no_show.created", invitee);
    },

    clearNoShow(id: string): Invitee {
      const invitee = meetings.activeInvitee(id);
      if (invitee.noShow === undefined) throw new AccountError(`the invitee "${id}" is not marked as a no-show`);
      delete invitee.noShow;
      invitee.updatedAt = stamp();
      return tellOf("invitee_no_show.deleted", invitee);
    },

    /** Gives the submission's URI, for a booking to name. `leadsTo` is the event type that the form ends at. */
    submitRoutingForm(answers: readonly Answer[], leadsTo: string): string {
      const uri = `${baseUrl}/routing_form_submissions/${random.uuid()}`;
      const submission = { uri, form: `${baseUrl}/routing_forms/${random.uuid()}`, createdAt: stamp() };
      const asked = answers.map((answer) => ({ ...answer, uuid: random.uuid() }));
      const payload = routingFormPayload(submission, asked, eventTypes.find(leadsTo).uri);
      tell("routing_form_submission.created", payload, undefined);
      return uri;
    },

    createEventType: (type: NewEventType) => tellOfType("event_type.created", eventTypes.create(type)),
    updateEventType: (nameOrUri: string, change: EventTypeChange) =>
      tellOfType("event_type.updated", eventTypes.update(nameOrUri, change)),
    deleteEventType: (nameOrUri: string) => tellOfType("event_type.deleted", eventTypes.remove(nameOrUri)),
  };
}

function nameOfHost({ hosts }: ScheduledEvent): string {
  return hosts[0]?.name ?? "";
}
