import { AccountError } from "./account-error.ts";
import type { EventType, Host } from "./catalog.ts";
import type { Random } from "./random.ts";
import { timestamp } from "./timestamps.ts";

export interface ScheduledEvent {
  readonly id: string;
  readonly uri: string;
  readonly type: EventType;
  /** As the event type was called when the event was made. */
  readonly name: string;
  readonly hosts: readonly Host[];
  readonly start: string;
  readonly end: string;
  readonly notes?: string;
  readonly createdAt: string;
  readonly invitees: Invitee[];
  /** Whether its conference has its link by now. */
  isPushed: boolean;
  updatedAt: string;
  status: "active" | "canceled";
  cancellation?: Cancellation;
  /** What the API answers whoever asks for its invitees, where that is an error. */
  inviteesStatus?: number;
}

export interface Invitee extends Person {
  readonly id: string;
  readonly uri: string;
  readonly event: ScheduledEvent;
  readonly createdAt: string;
  readonly old?: Invitee;
  updatedAt: string;
  status: "active" | "canceled";
  next?: Invitee;
  cancellation?: Cancellation;
  noShow?: { readonly uri: string; readonly created_at: string };
}

export interface Person {
  readonly name: string;
  readonly email: string;
  readonly timezone: string;
  readonly answers: readonly Answer[];
  readonly tracking: Readonly<Record<string, string | null>>;
  readonly routingFormSubmission?: string;
}

export interface Answer {
  readonly question: string;
  readonly answer: string;
}

export interface Cancellation {
  readonly canceled_by: string;
  readonly reason: string | null;
  readonly canceler_type: "host" | "invitee";
  readonly created_at: string;
}

export interface Slot {
  readonly type: EventType;
  readonly start: string;
  /** Slug, name or URI. */
  readonly host?: string;
  readonly notes?: string;
  /** The conference gets its link only when that is pushed. */
  readonly conferenceLater?: boolean;
}

const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/;

const DAY_MS = 86_400_000;
const dayOf = (ms: number) => Math.floor(ms / DAY_MS);

export const isActive = ({ status }: { readonly status: "active" | "canceled" }) => status === "active";

/** The scheduled events of an account and who is invited to them. */
export function createMeetings(ports: { random: Random; baseUrl: string; stamp: () => string }) {
  const { random, baseUrl, stamp } = ports;
  const events: ScheduledEvent[] = [];
  const eventsById = new Map<string, ScheduledEvent>();
  /** By the day that they begin on: a free time is found as fast among a hundred thousand as among ten. */
  const eventsOfDay = new Map<number, ScheduledEvent[]>();
  const invitees = new Map<string, Invitee>();

  /** The event of that slot: a group's own where there is one, else a new one, even if that books a host twice. */
  function schedule({ type, start, host, notes, conferenceLater = false }: Slot): ScheduledEvent {
    const startMs = ISO_TIME.test(start) ? Date.parse(start) : Number.NaN;
    if (Number.isNaN(startMs)) throw new AccountError(`expected start as an ISO 8601 time, got "${start}"`);
    const hosts = hostsOf(type, host);
    const day = dayOf(startMs);
    const sameDay = type.limit > 1 ? eventsOfDay.get(day) : undefined;
    const shared = sameDay?.find(
      (event) => event.type === type && Date.parse(event.start) === startMs && isActive(event),
    );
    if (shared !== undefined) {
      if (shared.invitees.filter(isActive).length >= type.limit)
        throw new AccountError(`the event at ${start} is full: it takes ${type.limit}`);
      shared.updatedAt = stamp();
      return shared;
    }
    const id = random.uuid();
    const createdAt = stamp();
    const event: ScheduledEvent = {
      id,
      uri: `${baseUrl}/scheduled_events/${id}`,
      type,
      name: type.name,
      hosts,
      start: timestamp(startMs),
      end: timestamp(startMs + type.minutes * 60_000),
      ...(notes === undefined ? {} : { notes }),
      createdAt,
      isPushed: !conferenceLater,
      updatedAt: createdAt,
      status: "active",
      invitees: [],
    };
    events.push(event);
    eventsById.set(id, event);
    const others = eventsOfDay.get(day);
    if (others === undefined) eventsOfDay.set(day, [event]);
    else others.push(event);
    return event;
  }

  /** The active events that take some of the time between these two, in ms. None lasts longer than a day. */
  function eventsBetween(fromMs: number, toMs: number): ScheduledEvent[] {
    const days = [];
    for (let day = dayOf(fromMs) - 1; day <= dayOf(toMs); day++) days.push(...(eventsOfDay.get(day) ?? []));
    return days.filter((event) => isActive(event) && Date.parse(event.start) < toMs && Date.parse(event.end) > fromMs);
  }

  function hostsOf(type: EventType, wanted: string | undefined): readonly Host[] {
    const oneOf = type.poolingType === "round_robin";
    if (wanted === undefined) return oneOf ? [random.pick(type.hosts)] : type.hosts;
    const host = type.hosts.find(({ slug, name, uri }) => [slug, name, uri].includes(wanted));
    if (host === undefined) {
      const slugs = type.hosts.map(({ slug }) => slug).join(", ");
      throw new AccountError(`"${wanted}" is no host of ${type.slug}; its hosts are ${slugs}`);
    }
    return oneOf ? [host] : type.hosts;
  }

  function invite(event: ScheduledEvent, person: Person, old?: Invitee): Invitee {
    const id = random.uuid();
    const createdAt = stamp();
    const { name, email, timezone, answers, tracking, routingFormSubmission } = person;
    const invitee: Invitee = {
      id,
      uri: `${event.uri}/invitees/${id}`,
      event,
      name,
      email,
      timezone,
      answers,
      tracking,
      ...(routingFormSubmission === undefined ? {} : { routingFormSubmission }),
      createdAt,
      updatedAt: createdAt,
      status: "active",
      ...(old === undefined ? {} : { old }),
    };
    event.invitees.push(invitee);
    invitees.set(id, invitee);
    return invitee;
  }

  /** All of them leave at once, so that each one's payload already counts the others out. */
  function release(event: ScheduledEvent, leaving: readonly Invitee[], by: Omit<Cancellation, "created_at">): void {
    const cancellation = { ...by, created_at: stamp() };
    for (const invitee of leaving) {
      invitee.status = "canceled";
      invitee.cancellation = cancellation;
    }
    event.updatedAt = stamp();
    if (!event.invitees.some(isActive)) {
      event.status = "canceled";
      event.cancellation = cancellation;
    }
    for (const invitee of leaving) invitee.updatedAt = stamp();
  }

  function activeInvitee(id: string): Invitee {
    const invitee = invitees.get(id);
    if (invitee === undefined) throw new AccountError(`there is no invitee "${id}"`);
    if (!isActive(invitee)) throw new AccountError(`the invitee "${id}" is canceled already`);
    return invitee;
  }

  function activeEvent(id: string): ScheduledEvent {
    const event = eventsById.get(id);
    if (event === undefined) throw new AccountError(`there is no event "${id}"`);
    if (!isActive(event)) throw new AccountError(`the event "${id}" is canceled already`);
    return event;
  }

  /** The conference's link is there. */
  function pushConference(id: string): ScheduledEvent {
    const event = activeEvent(id);
    if (event.isPushed) throw new AccountError(`the event "${id}" has its conference link, or none to come`);
    event.isPushed = true;
    event.updatedAt = stamp();
    return event;
  }

  /** Erased: whoever is asked for knows nothing of the invitee. Links that others have to it stay. */
  function forget(id: string): void {
    const invitee = invitees.get(id);
    if (invitee === undefined) throw new AccountError(`there is no invitee "${id}"`);
    invitees.delete(id);
    invitee.event.invitees.splice(invitee.event.invitees.indexOf(invitee), 1);
  }

  return {
    events,
    eventsById,
    eventsBetween,
    invitees,
    schedule,
    invite,
    release,
    pushConference,
    forget,
    activeInvitee,
    activeEvent,
  };
}
