// The words of this room. A *fact* says what happened, mostly to one invitee. A *booking* is the chain of invitees that
// reschedules make; its id is the id of the first. What is known of an invitee is its *knowledge*. An *outcome* is what
// internal services are told. All ids are Calendly's own; all times are ISO 8601 in UTC, as Calendly sends them.

/** Where a fact came from: Calendly's delivery, a sweep of its API, or a person who replayed it. */
export const ORIGINS = ["webhook", "reconcile", "replay"] as const;
export type Origin = (typeof ORIGINS)[number];

/** An invitee that somebody names: the id for us, the URI to ask Calendly with. */
export interface Reference {
  readonly id: string;
  readonly uri: string;
}

export interface InviteeFields {
  readonly uri: string;
  readonly createdAt: string;
  readonly email?: string;
  readonly name?: string;
  readonly firstName?: string;
  readonly lastName?: string;
  /** IANA name or an old alias. */
  readonly timezone?: string;
  readonly phone?: string;
  readonly answers?: readonly { readonly question: string | null; readonly answer: string | null }[];
  readonly tracking?: Readonly<Record<string, unknown>>;
  readonly payment?: Readonly<Record<string, unknown>>;
  readonly cancelUrl?: string;
  readonly rescheduleUrl?: string;
  readonly cancellation?: Cancellation;
  /** URI of the routing form submission that led here. */
  readonly routingForm?: string;
}

export interface Cancellation {
  readonly by: string | null;
  readonly byType: string | null;
  readonly reason: string | null;
  readonly at: string | null;
}

export interface EventFields {
  readonly uri: string;
  readonly start: string;
  readonly end: string;
  readonly name?: string;
  readonly eventType?: string;
  readonly location?: Location;
  readonly guests?: readonly string[];
  readonly hosts?: readonly Host[];
  /** Only the API tells them: from when to when a host is kept busy around the event, by the host's URI. */
  readonly buffers?: Readonly<Record<string, { readonly start: string; readonly end: string }>>;
}

/** Where it takes place, as Calendly says it. A conference's `join_url` counts only once its `status` is `pushed`. */
export type Location = Readonly<Record<string, unknown>>;

export interface Host {
  readonly uri: string;
  readonly name: string | null;
  readonly email: string | null;
}

/** That somebody was marked as not having come. Null says that nobody is marked. */
export interface NoShow {
  readonly uri: string;
  readonly at: string;
}

/** What one delivery, or one answer of the API, says of an invitee. */
export interface InviteeFact {
  readonly kind: "invitee";
  /** Two facts with one identity are one fact. */
  readonly identity: string;
  readonly inviteeId: string;
  readonly canceled: boolean;
  /** The old half of a reschedule: canceled, but not a cancellation. */
  readonly rescheduled: boolean;
  readonly oldInvitee?: Reference;
  readonly newInvitee?: Reference;
  readonly noShow: { readonly updatedAt: string; readonly mark: NoShow | null };
  readonly invitee: { readonly updatedAt: string; readonly fields: InviteeFields };
  readonly event: { readonly updatedAt: string; readonly fields: EventFields };
}

/** Calendly answers that it does not know an invitee who was there once: erased. */
export interface GoneFact {
  readonly kind: "gone";
  readonly identity: string;
  readonly inviteeId: string;
}

/** Somebody filled in a routing form. An invitee may name it as what led to the booking. */
export interface RoutingFormFact {
  readonly kind: "routing_form";
  readonly identity: string;
  readonly formId: string;
  readonly form: RoutingForm;
}

export interface RoutingForm {
  readonly uri: string;
  readonly submittedAt: string;
  readonly answers: readonly { readonly question: string | null; readonly answer: string | null }[];
  /** URI of the event type that the form led to, where it led to one. */
  readonly eventType?: string;
}

/** An event type was made, changed or deleted: what is remembered of it no longer holds. */
export interface EventTypeFact {
  readonly kind: "event_type";
  readonly identity: string;
  readonly eventTypeId: string;
  readonly eventType: string;
}

/** What changes a booking. */
export type BookingFact = InviteeFact | GoneFact | RoutingFormFact;
export type Fact = BookingFact | EventTypeFact;
