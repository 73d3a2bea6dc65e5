import { z } from "zod";
import { CalendlyError, parse, shapeOf } from "./errors.ts";
import { eventTypePayload, inviteePayload, scheduledEventPayload } from "./payloads.ts";
import { parseInviteeUri, parseResourceUri } from "./references.ts";
import { type ApiRequest, type CallOptions, createRequester, type RequesterPorts } from "./requester.ts";

/** Calendly's API, as far as it is asked (https://developer.calendly.com/api-docs). Every call rejects with a CalendlyError. */
export interface CalendlyClient {
  /** The user whose token it is. */
  currentUser(options?: CallOptions): Promise<CurrentUser>;
  /** An invitee, without its event. */
  invitee(uri: string, options?: CallOptions): Promise<ApiInvitee>;
  scheduledEvent(uri: string, options?: CallOptions): Promise<ApiScheduledEvent>;
  eventType(uri: string, options?: CallOptions): Promise<ApiEventType>;
  /** Times at which an event type can be booked: in the future, 31 days at most. */
  availableTimes(
    eventType: string,
    range: { readonly start: string; readonly end: string },
    options?: CallOptions,
  ): Promise<AvailableTime[]>;
  /** All events that fit, by start. Pages are fetched as one goes on. */
  scheduledEvents(query: EventQuery, options?: CallOptions): AsyncGenerator<ApiScheduledEvent>;
  /** Cancels the whole event, for all of its invitees. */
  cancelEvent(uri: string, reason: string | undefined, options?: CallOptions): Promise<void>;
  /** All invitees of an event, canceled ones too. */
  invitees(eventUri: string, options?: CallOptions): AsyncGenerator<ApiInvitee>;
  webhookSubscriptions(
    query: { readonly organization: string; readonly scope: SubscriptionScope; readonly user?: string },
    options?: CallOptions,
  ): AsyncGenerator<WebhookSubscription>;
  webhookSubscription(uri: string, options?: CallOptions): Promise<WebhookSubscription>;
  createWebhookSubscription(subscription: NewWebhookSubscription, options?: CallOptions): Promise<WebhookSubscription>;
  deleteWebhookSubscription(uri: string, options?: CallOptions): Promise<void>;
  /** A delivery as it would be: bare, and posted by nobody. */
  sampleDelivery(
    query: {
      readonly event: string;
      readonly organization: string;
      readonly scope: SubscriptionScope;
      readonly user?: string;
    },
    options?: CallOptions,
  ): Promise<Readonly<Record<string, unknown>>>;
}

/** Which events to list. There is no filter on when they were made or changed. */
export interface EventQuery {
  readonly organization: string;
  /** URI of a host. */
  readonly user?: string;
  readonly inviteeEmail?: string;
  readonly status?: "active" | "canceled";
  /** ISO 8601, counted in ms; the first included, the last not. */
  readonly minStart?: string;
  readonly maxStart?: string;
}

export type SubscriptionScope = "organization" | "user";

export interface NewWebhookSubscription {
  readonly url: string;
  readonly events: readonly string[];
  readonly organization: string;
  readonly scope: SubscriptionScope;
  /** Required by the scope `user`. */
  readonly user?: string;
  readonly signingKey: string;
}

const user = z.looseObject({ uri: z.string(), current_organization: z.string() });
const invitee = inviteePayload.omit({ scheduled_event: true });
const availableTime = z.looseObject({ start_time: z.string(), invitees_remaining: z.int().nullish() });
const subscription = z.looseObject({
  uri: z.string(),
  callback_url: z.string(),
  created_at: z.string(),
  retry_started_at: z.string().nullish(),
  state: z.string(),
  events: z.array(z.string()),
  scope: z.string(),
});

export type CurrentUser = z.output<typeof user>;
export type ApiInvitee = z.output<typeof invitee>;
export type ApiScheduledEvent = z.output<typeof scheduledEventPayload>;
export type ApiEventType = z.output<typeof eventTypePayload>;
export type AvailableTime = z.output<typeof availableTime>;
export type WebhookSubscription = z.output<typeof subscription>;

const pagination = z.looseObject({ next_page_token: z.string().nullish() });
const PAGE_SIZE = "100";
/**
 * Calendly's "after this time" and "prior to this time" leave open whether an event that starts at that very time is listed,
 * and how exactly a time is read: so much more is asked for at both ends, and what lies beyond them is left out here.
 */
const MARGIN_MS = 1_000;

export function createCalendlyClient(ports: RequesterPorts): CalendlyClient {
  const { request } = createRequester(ports);

  async function ask<T>(wanted: ApiRequest, schema: z.ZodType<T>, options?: CallOptions): Promise<T> {
    return readAnswer(wanted.call, await request(wanted, options), schema);
  }

  const get = <T>(
    call: string,
    path: string,
    scopes: readonly string[],
    schema: z.ZodType<T>,
    options?: CallOptions,
    query: Readonly<Record<string, string>> = {},
  ) => ask({ call, method: "GET", path, query, scopes }, schema, options);

  async function one<T>(call: string, path: string, scope: string, schema: z.ZodType<T>, options?: CallOptions) {
    return (await get(call, path, [scope], z.looseObject({ resource: schema }), options)).resource;
  }

  async function* list<T>(
    call: string,
    path: string,
    scope: string,
    item: z.ZodType<T>,
    query: Readonly<Record<string, string>>,
    options?: CallOptions,
  ) {
    const page = z.looseObject({ collection: z.array(z.unknown()), pagination });
    function* readable(items: readonly unknown[]): Generator<T> {
      for (const one of items) {
        const read = item.safeParse(one);
        if (read.success) yield read.data;
        else if (options?.onUnreadable === undefined) throw unreadable(call, read.error, one);
        else options.onUnreadable(unreadable(call, read.error, one));
      }
    }
    let next: string | null | undefined;
    do {
      const more = next ? { page_token: next } : {};
      const answer = await get(call, path, [scope], page, options, { ...query, count: PAGE_SIZE, ...more });
      yield* readable(answer.collection);
      next = answer.pagination.next_page_token;
    } while (next);
  }

  const EVENTS = "scheduled_events:read";
  const eventPath = (uri: string) => `/scheduled_events/${parseResourceUri(uri)}`;
  const subscriptionPath = (uri: string) => `/webhook_subscriptions/${parseResourceUri(uri)}`;

  return {
    currentUser: (options) => one("the current user", "/users/me", "users:read", user, options),
    invitee(uri, options) {
      const { eventId, inviteeId } = parseInviteeUri(uri);
      return one("an invitee", `/scheduled_events/${eventId}/invitees/${inviteeId}`, EVENTS, invitee, options);
    },
    scheduledEvent: (uri, options) => one("a scheduled event", eventPath(uri), EVENTS, scheduledEventPayload, options),
    eventType: (uri, options) =>
      one("an event type", `/event_types/${parseResourceUri(uri)}`, "event_types:read", eventTypePayload, options),
    async availableTimes(eventType, { start, end }, options) {
      const schema = z.looseObject({ collection: z.array(availableTime) });
      const query = { event_type: eventType, start_time: start, end_time: end };
      const scopes = ["availability:read", "event_types:read"];
      return (await get("available times", "/event_type_available_times", scopes, schema, options, query)).collection;
    },
    async *scheduledEvents({ organization, user: host, inviteeEmail, status, minStart, maxStart }, options) {
      const from = minStart === undefined ? Number.NEGATIVE_INFINITY : Date.parse(minStart);
      const to = maxStart === undefined ? Number.POSITIVE_INFINITY : Date.parse(maxStart);
      const query = {
        organization,
        sort: "start_time:asc",
        ...(host && { user: host }),
        ...(inviteeEmail && { invitee_email: inviteeEmail }),
        ...(status && { status }),
        ...(minStart && { min_start_time: new Date(from - MARGIN_MS).toISOString() }),
        ...(maxStart && { max_start_time: new Date(to + MARGIN_MS).toISOString() }),
      };
      const listed = list("scheduled events", "/scheduled_events", EVENTS, scheduledEventPayload, query, options);
      for await (const event of listed) {
        const start = Date.parse(event.start_time);
        if (start >= from && start < to) yield event;
      }
    },
    async cancelEvent(uri, reason, options) {
      const path = `${eventPath(uri)}/cancellation`;
      const body = reason === undefined ? {} : { reason };
      const scopes = ["scheduled_events:write"];
      await request({ call: "the cancellation of an event", method: "POST", path, body, scopes }, options);
    },
    invitees: (uri, options) => list("an event's invitees", `${eventPath(uri)}/invitees`, EVENTS, invitee, {}, options),
    webhookSubscriptions: ({ organization, scope, user: of }, options) =>
      list(
        "webhook subscriptions",
        "/webhook_subscriptions",
        "webhooks:read",
        subscription,
        { organization, scope, ...(of && { user: of }) },
        options,
      ),
    webhookSubscription: (uri, options) =>
      one("a webhook subscription", subscriptionPath(uri), "webhooks:read", subscription, options),
    sampleDelivery: ({ event, organization, scope, user: of }, options) =>
      get(
        "a sample delivery",
        "/sample_webhook_data",
        ["webhooks:read"],
        z.looseObject({ event: z.string(), payload: z.looseObject({}) }),
        options,
        { event, organization, scope, ...(of && { user: of }) },
      ),
    async createWebhookSubscription({ signingKey, ...rest }, options) {
      const creation = {
        call: "a new webhook subscription",
        method: "POST",
        path: "/webhook_subscriptions",
        body: { ...rest, signing_key: signingKey },
        scopes: ["webhooks:write"],
      } as const;
      return (await ask(creation, z.looseObject({ resource: subscription }), options)).resource;
    },
    async deleteWebhookSubscription(uri, options) {
      const call = "the deletion of a webhook subscription";
      await request({ call, method: "DELETE", path: subscriptionPath(uri), scopes: ["webhooks:write"] }, options);
    },
  };
}

function readAnswer<T>(call: string, text: string, schema: z.ZodType<T>): T {
  const json = parse(text);
  if (json === undefined) {
    const shape = `${text.length} characters that are no JSON`;
    throw new CalendlyError("unreadable_answer", `Calendly's answer to ${call} is no JSON`, { shape });
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  throw unreadable(call, read.error, json);
}

function unreadable(call: string, { issues }: z.ZodError, json: unknown): CalendlyError {
  const problems = issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  const message = `Calendly's answer to ${call} does not fit: ${problems.join("; ")}`;
  return new CalendlyError("unreadable_answer", message, { problems, shape: shapeOf(json) });
}
