import { z } from "zod";
import type { Happening } from "./account.ts";
import type { Catalog, Host } from "./catalog.ts";
import type { Json } from "./payloads.ts";
import type { Random } from "./random.ts";
import { invalidArgument, parse, permissionDenied, RestError } from "./rest-errors.ts";
import { timestamp } from "./timestamps.ts";

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

/** Whose events they are: the parameters that several calls share. */
export const owner = z.object({
  organization: z.string("is missing"),
  scope: z.enum(["organization", "user", "group"], "is missing or invalid"),
  user: z.string().optional(),
  group: z.string().optional(),
});

const newSubscription = owner.extend({
  url: z.url({ protocol: /^https?$/, error: "is not a URL" }),
  events: z
    .array(z.string())
    .min(1)
    .refine((names) => names.every((name) => SUBSCRIBABLE.includes(name)), "contains an event that does not exist"),
  signing_key: z.string().min(1).optional(),
});

export interface Subscriptions {
  readonly all: ReadonlyMap<string, Subscription>;
  /** Throws Calendly's 400, 403 or 409. */
  create(input: unknown, creator: Host): Subscription;
  /** Its deliveries that wait for a retry end with it. */
  remove(subscription: Subscription): void;
}

export function createSubscriptions(ports: {
  readonly catalog: Catalog;
  readonly random: Random;
  readonly baseUrl: string;
  readonly now: () => number;
}): Subscriptions {
  const { catalog, random, baseUrl, now } = ports;
  const all = new Map<string, Subscription>();
  return {
    all,

    create(input, creator) {
      const wanted = parse(newSubscription, input);
      checkOwner(catalog, wanted);
      checkFamilies(wanted);
      const user = wanted.scope === "user" ? (wanted.user ?? null) : null;
      const group = wanted.scope === "group" ? (wanted.group ?? null) : null;
      if (wanted.scope === "organization" && creator.uri !== catalog.admin.uri) throw permissionDenied();
      // Only the very same text is the same hook: another query string makes another one.
      const isSame = (other: Subscription) =>
        other.url === wanted.url && other.scope === wanted.scope && other.user === user && other.group === group;
      if ([...all.values()].some(isSame)) {
        throw new RestError(409, "Already Exists", "Hook with this url already exists");
      }
      const id = random.uuid();
      const createdAt = timestamp(now());
      const subscription: Subscription = {
        id,
        uri: `${baseUrl}/webhook_subscriptions/${id}`,
        url: wanted.url,
        events: wanted.events,
        scope: wanted.scope,
        organization: wanted.organization,
        user,
        group,
        creator: creator.uri,
        createdAt,
        updatedAt: createdAt,
        signingKey: wanted.signing_key ?? random.uuid(),
        state: "active",
        retryStartedAt: null,
      };
      all.set(id, subscription);
      return subscription;
    },

    remove(subscription) {
      subscription.state = "disabled";
      all.delete(subscription.id);
    },
  };
}

export function checkOwner(catalog: Catalog, { organization, scope, user, group }: z.output<typeof owner>): void {
  const users = [catalog.admin, ...catalog.hosts].map(({ uri }) => uri);
  if (organization !== catalog.organization) throw permissionDenied();
  if (scope === "user" && !users.includes(user ?? ""))
    throw invalidArgument([{ parameter: "user", message: "is missing or unknown" }]);
  if (scope === "group" && group === undefined) throw invalidArgument([{ parameter: "group", message: "is missing" }]);
}

function checkFamilies({ events, scope }: z.output<typeof newSubscription>): void {
  const onlyForOrganization = events.some((event) => event.startsWith("routing_form"));
  const onlyForUser = events.some((event) => event.startsWith("meeting_recap"));
  if ((onlyForOrganization && scope !== "organization") || (onlyForUser && scope !== "user")) {
    const message = `contains an event that the scope ${scope} does not have`;
    throw invalidArgument([{ parameter: "events", message }]);
  }
}
