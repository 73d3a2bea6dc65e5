import { type Catalog, createCatalog, type EventType, type Host } from "./catalog.ts";
import { eventTypeResource, inviteePayload, type Json, NO_TRACKING } from "./payloads.ts";
import type { Random } from "./random.ts";

export interface ScheduledEvent {
  readonly id: string;
  readonly uri: string;
  readonly type: EventType;
  readonly hosts: readonly Host[];
  readonly start: string;
  readonly end: string;
  readonly createdAt: string;
  readonly invitees: Invitee[];
  updatedAt: string;
  status: "active" | "canceled";
  cancellation?: Cancellation;
}

export interface Invitee {
  readonly id: string;
  readonly uri: string;
  readonly event: ScheduledEvent;
  readonly name: string;
  readonly email: string;
  readonly timezone: string;
  readonly answers: readonly { readonly question: string; readonly answer: string }[];
  readonly tracking: Readonly<Record<string, string | null>>;
  readonly routingFormSubmission?: string;
  readonly createdAt: string;
  readonly old?: Invitee;
  updatedAt: string;
  status: "active" | "canceled";
  next?: Invitee;
  cancellation?: Cancellation;
  noShow?: { readonly uri: string; readonly created_at: string };
}

export interface Cancellation {
  readonly canceled_by: string;
  readonly reason: string | null;
  readonly canceler_type: "host" | "invitee";
  readonly created_at: string;
}

/** Something that happened, with the payload that Calendly tells it with. */
export interface Happening {
  readonly event: string;
  readonly createdAt: string;
  readonly payload: Json;
  /** Users whose own subscriptions hear of it; undefined where only the organization's do. */
  readonly users: readonly string[] | undefined;
}

export interface Booking {
  /** Slug or URI of the event type. */
  readonly eventType: string;
  /** When it begins, ISO 8601. */
  readonly start: string;
  readonly name: string;
  readonly email: string;
  readonly timezone?: string;
  readonly answers?: Invitee["answers"];
  readonly tracking?: Invitee["tracking"];
  readonly routingFormSubmission?: string;
}

/** Something was asked for that the account cannot do. */
export class AccountError extends Error {
  override readonly name = "AccountError";
}

export type Account = ReturnType<typeof createAccount>;

/** One organization: what it has, what happens in it, and the history of that. `now` gives milliseconds. */
export function createAccount(ports: {
  random: Random;
  baseUrl: string;
  now: () => number;
  tell: (happening: Happening) => void;
}) {
  const { random, baseUrl, now } = ports;
  const catalog: Catalog = createCatalog(random, baseUrl);
  const events: ScheduledEvent[] = [];
  const invitees = new Map<string, Invitee>();
  const history: Happening[] = [];
  let lastMicros = 0;

  /** Calendly's form, six digits, each later than the one before. */
  function stamp(): string {
    lastMicros = Math.max(lastMicros + 1, now() * 1_000);
    return `${new Date(Math.floor(lastMicros / 1_000)).toISOString().slice(0, -1)}${String(lastMicros % 1_000).padStart(3, "0")}Z`;
  }

  function tell(event: string, payload: Json, users: Happening["users"]): void {
    const createdAt = `${new Date(now()).toISOString().slice(0, 19)}.000000Z`;
    const happening = { event, createdAt, payload, users };
    history.push(happening);
    ports.tell(happening);
  }

  const tellOf = (event: string, invitee: Invitee) =>
    tell(
      event,
      inviteePayload(invitee),
      invitee.event.hosts.map(({ uri }) => uri),
    );

  function eventType(nameOrUri: string): EventType {
    const type = catalog.eventTypes.find(({ slug, uri }) => slug === nameOrUri || uri === nameOrUri);
    if (type === undefined) {
      throw new AccountError(
        `there is no event type "${nameOrUri}"; there are ${catalog.eventTypes.map(({ slug }) => slug).join(", ")}`,
      );
    }
    return type;
  }

  function activeInvitee(id: string): Invitee {
    const invitee = invitees.get(id);
    if (invitee === undefined) throw new AccountError(`there is no invitee "${id}"`);
    if (invitee.status !== "active") throw new AccountError(`the invitee "${id}" is canceled already`);
    return invitee;
  }

  function schedule(type: EventType, start: string): ScheduledEvent {
    if (Number.isNaN(Date.parse(start))) throw new AccountError(`expected start as an ISO 8601 time, got "${start}"`);
    const begin = new Date(start).toISOString().replace("Z", "000Z");
    const shared = events.find((event) => event.type === type && event.start === begin && event.status === "active");
    if (shared !== undefined && shared.invitees.filter(({ status }) => status === "active").length < type.limit)
      return shared;
    const id = random.uuid();
    const createdAt = stamp();
    const event: ScheduledEvent = {
      id,
      uri: `${baseUrl}/scheduled_events/${id}`,
      type,
      hosts: type.poolingType === "round_robin" ? [random.pick(type.hosts)] : type.hosts,
      start: begin,
      end: new Date(Date.parse(start) + type.minutes * 60_000).toISOString().replace("Z", "000Z"),
      createdAt,
      updatedAt: createdAt,
      status: "active",
      invitees: [],
    };
    events.push(event);
    return event;
  }

  function invite(event: ScheduledEvent, person: Omit<Booking, "eventType" | "start">, old?: Invitee): Invitee {
    const id = random.uuid();
    const createdAt = stamp();
    const invitee: Invitee = {
      id,
      uri: `${event.uri}/invitees/${id}`,
      event,
      name: person.name,
      email: person.email,
      timezone: person.timezone ?? "America/New_York",
      answers: person.answers ?? [],
      tracking: person.tracking ?? {},
      ...(person.routingFormSubmission === undefined ? {} : { routingFormSubmission: person.routingFormSubmission }),
      createdAt,
      updatedAt: createdAt,
      status: "active",
      ...(old === undefined ? {} : { old }),
    };
    event.invitees.push(invitee);
    invitees.set(id, invitee);
    return invitee;
  }

  function release(invitee: Invitee, cancellation: Omit<Cancellation, "created_at">, wholeEvent: boolean): void {
    const { event } = invitee;
    const made = { ...cancellation, created_at: stamp() };
    invitee.status = "canceled";
    invitee.cancellation = made;
    event.updatedAt = stamp();
    if (wholeEvent || event.invitees.every(({ status }) => status === "canceled")) {
      event.status = "canceled";
      event.cancellation = made;
    }
    invitee.updatedAt = stamp();
  }

  return {
    catalog,
    events,
    invitees,
    /** All that happened, in order. */
    history: (): readonly Happening[] => history,
    eventType,

    book(booking: Booking): Invitee {
      const invitee = invite(schedule(eventType(booking.eventType), booking.start), booking);
      tellOf("invitee.created", invitee);
      return invitee;
    },

    cancel(id: string, by: "invitee" | "host" = "invitee", reason: string | null = null): Invitee {
      const invitee = activeInvitee(id);
      const name = by === "host" ? (invitee.event.hosts[0]?.name ?? "") : invitee.name;
      release(invitee, { canceled_by: name, reason, canceler_type: by }, false);
      tellOf("invitee.canceled", invitee);
      return invitee;
    },

    /** Two happenings, the old half first; gives the new invitee. */
    reschedule(id: string, start: string, reason: string | null = null): Invitee {
      const old = activeInvitee(id);
      const next = invite(schedule(old.event.type, start), old, old);
      old.next = next;
      release(old, { canceled_by: old.name, reason, canceler_type: "invitee" }, false);
      tellOf("invitee.canceled", old);
      tellOf("invitee.created", next);
      return next;
    },

    /** The host cancels the event for everybody. */
    cancelEvent(id: string, reason: string | null = null): ScheduledEvent {
      const event = events.find((candidate) => candidate.id === id);
      if (event === undefined || event.status === "canceled")
        throw new AccountError(`there is no active event "${id}"`);
      for (const invitee of event.invitees.filter(({ status }) => status === "active")) {
        release(invitee, { canceled_by: event.hosts[0]?.name ?? "", reason, canceler_type: "host" }, true);
        tellOf("invitee.canceled", invitee);
      }
      return event;
    },

    markNoShow(id: string): Invitee {
      const invitee = activeInvitee(id);
      invitee.noShow = { uri: `${baseUrl}/invitee_no_shows/${random.uuid()}`, created_at: stamp() };
      invitee.updatedAt = stamp();
      tellOf("invitee_no_show.created", invitee);
      return invitee;
    },

    clearNoShow(id: string): Invitee {
      const invitee = activeInvitee(id);
      if (invitee.noShow === undefined) throw new AccountError(`the invitee "${id}" is not marked as a no-show`);
      delete invitee.noShow;
      invitee.updatedAt = stamp();
      tellOf("invitee_no_show.deleted", invitee);
      return invitee;
    },

    /** Gives the submission's URI, for a booking to name. */
    submitRoutingForm(answers: Invitee["answers"], leadsTo: string): string {
      const uri = `${baseUrl}/routing_form_submissions/${random.uuid()}`;
      const createdAt = stamp();
      const payload = {
        uri,
        routing_form: `${baseUrl}/routing_forms/${random.uuid()}`,
        questions_and_answers: answers.map(({ question, answer }) => ({
          question_uuid: random.uuid(),
          question,
          answer,
        })),
        tracking: NO_TRACKING,
        submitter: null,
        submitter_type: null,
        created_at: createdAt,
        updated_at: createdAt,
        result: { type: "event_type", value: eventType(leadsTo).uri },
      };
      tell("routing_form_submission.created", payload, undefined);
      return uri;
    },

    updateEventType(nameOrUri: string, change: { readonly active: boolean }): EventType {
      const type = eventType(nameOrUri);
      type.active = change.active;
      type.updatedAt = stamp();
      tell(
        "event_type.updated",
        eventTypeResource(type),
        type.hosts.map(({ uri }) => uri),
      );
      return type;
    },
  };
}
