// The words of this room. A *fact* says what happened to one invitee. A *booking* is the chain of invitees that
// reschedules make; its id is the id of the first. What is known of an invitee is its *knowledge*. All ids are
// Calendly's own; all times are ISO 8601 in UTC, as Calendly sends them.

/** Where a fact came from: Calendly's delivery, a sweep of its API, or a person who replayed it. */
export const ORIGINS = ["webhook", "reconcile", "replay"] as const;
export type Origin = (typeof ORIGINS)[number];

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
  readonly location?: Readonly<Record<string, unknown>>;
  readonly guests?: readonly string[];
  readonly hosts?: readonly Host[];
}

export interface Host {
  readonly uri: string;
  readonly name: string | null;
  readonly email: string | null;
}

/** What one delivery, or one answer of the API, says of an invitee. */
export interface InviteeFact {
  /** Two facts with one identity are one fact. */
  readonly identity: string;
  readonly inviteeId: string;
  readonly canceled: boolean;
  /** The old half of a reschedule: canceled, but not a cancellation. */
  readonly rescheduled: boolean;
  readonly oldInvitee?: string;
  readonly newInvitee?: string;
  readonly invitee: { readonly updatedAt: string; readonly fields: InviteeFields };
  readonly event: { readonly updatedAt: string; readonly fields: EventFields };
}
