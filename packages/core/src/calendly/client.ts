import { setTimeout as pause } from "node:timers/promises";
import {
  BrokenCircuitError,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
  TaskCancelledError,
  wrap,
} from "cockatiel";
import { z } from "zod";
import { CalendlyError, errorOfAnswer, parse, readBudget, shapeOf } from "./errors.ts";
import type { ApiGate, ApiToken, Priority } from "./gate.ts";
import { eventTypePayload, inviteePayload, scheduledEventPayload } from "./payloads.ts";
import { parseInviteeUri, parseResourceUri } from "./references.ts";

/** How a call may be made. */
export interface CallOptions {
  readonly priority?: Priority;
  /** Makes the call with this token and no other, to see whether it works. */
  readonly token?: ApiToken;
}

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
  /** All of an organization's events that start in that time, by start. Pages are fetched as one goes on. */
  scheduledEvents(
    query: { readonly organization: string; readonly minStart?: string; readonly maxStart?: string },
    options?: CallOptions,
  ): AsyncGenerator<ApiScheduledEvent>;
  /** All invitees of an event, canceled ones too. */
  invitees(eventUri: string, options?: CallOptions): AsyncGenerator<ApiInvitee>;
  webhookSubscriptions(
    query: { readonly organization: string; readonly scope: SubscriptionScope; readonly user?: string },
    options?: CallOptions,
  ): AsyncGenerator<WebhookSubscription>;
  createWebhookSubscription(subscription: NewWebhookSubscription, options?: CallOptions): Promise<WebhookSubscription>;
  deleteWebhookSubscription(uri: string, options?: CallOptions): Promise<void>;
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
/** More tries than the first, for what is safe to ask twice. */
const RETRIES = 2;
const RETRY_FIRST_MS = 200;
const FAILURES_BEFORE_OPEN = 8;
const HALF_OPEN_AFTER_MS = 5_000;

interface Request {
  /** Names it in errors. */
  readonly call: string;
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** Scopes that an answer proves. */
  readonly scopes: readonly string[];
}

export function createCalendlyClient(ports: {
  readonly gate: ApiGate;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** For one request, from its start to the last byte of the answer. */
  readonly timeoutMs: number;
  /** For a call with all its tries. */
  readonly totalTimeoutMs: number;
  /** How long a call waits for budget before it rejects as `rate_limited`. */
  readonly patienceMs?: number;
  /** Ends all calls in flight. */
  readonly signal: AbortSignal;
}): CalendlyClient {
  const { gate, baseUrl, timeoutMs, totalTimeoutMs, patienceMs = 0 } = ports;

  const isPassing = (error: unknown) =>
    error instanceof CalendlyError && (error.code === "unavailable" || error.code === "timed_out");
  const passing = handleWhen(isPassing);
  const breaker = circuitBreaker(passing, {
    halfOpenAfter: HALF_OPEN_AFTER_MS,
    breaker: new ConsecutiveBreaker(FAILURES_BEFORE_OPEN),
  });
  const again = retry(passing, {
    maxAttempts: RETRIES,
    backoff: new ExponentialBackoff({ initialDelay: RETRY_FIRST_MS }),
  });
  const repeated = wrap(again, breaker);

  async function perform(request: Request, options: CallOptions): Promise<string> {
    const signal = AbortSignal.any([ports.signal, AbortSignal.timeout(totalTimeoutMs)]);
    const policy = request.method === "GET" ? repeated : breaker;
    try {
      return await policy.execute(() => attempt(request, options, signal), signal);
    } catch (error) {
      if (error instanceof CalendlyError) throw error;
      if (error instanceof BrokenCircuitError) {
        throw new CalendlyError(
          "unavailable",
          `${request.call} was not asked for: Calendly has just failed repeatedly`,
        );
      }
      if (error instanceof TaskCancelledError || signal.aborted) throw errorOfEnd(request.call, ports.signal);
      throw error;
    }
  }

  /** One request; a second one where Calendly takes the first token no more and there is another. */
  async function attempt(request: Request, options: CallOptions, signal: AbortSignal): Promise<string> {
    for (let tries = 1; ; tries++) {
      const { ticket, token } = await enter(request, options, signal);
      const { status, headers, text } = await send(request, ticket, token, signal);
      const error = status < 300 ? undefined : errorOfAnswer(request.call, status, headers, text);
      const fault = error?.details.tokenFault;
      await gate.leave({
        ticket,
        token,
        budget: readBudget(headers),
        isRefused: status === 429,
        ...(fault && { tokenFault: fault }),
        provenScopes: error === undefined || error.code === "not_found" ? request.scopes : [],
      });
      if (error === undefined) return text;
      const hasOther = fault !== undefined && options.token === undefined && tries < gate.tokens.length;
      if (!hasOther) throw error;
    }
  }

  async function enter(request: Request, { priority = "live", token }: CallOptions, signal: AbortSignal) {
    const end = performance.now() + patienceMs;
    for (;;) {
      const entry = await gate.enter({ priority, ...(token && { token }) });
      if (entry.kind === "go") return entry;
      if (entry.kind === "no_token") {
        throw new CalendlyError("unauthenticated", `${request.call} was not asked for: Calendly takes no token`);
      }
      if (performance.now() + entry.ms > end) {
        const message = `${request.call} was not asked for: the budget of the account is used up`;
        throw new CalendlyError("rate_limited", message, { retryAfterMs: entry.ms });
      }
      await pause(entry.ms, undefined, { signal }).catch(() => {
        throw errorOfEnd(request.call, ports.signal);
      });
    }
  }

  async function send(
    { call, method, path, query, body }: Request,
    ticket: string,
    token: ApiToken,
    signal: AbortSignal,
  ) {
    const url = new URL(`${baseUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(url, {
        method,
        headers: {
          authorization: `Bearer ${token.value}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: "error",
        signal: AbortSignal.any([signal, timeout]),
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (cause) {
      await gate.leave({ ticket, token, budget: {}, isRefused: false, provenScopes: [] });
      if (signal.aborted) throw errorOfEnd(call, ports.signal);
      if (timeout.aborted) throw new CalendlyError("timed_out", `Calendly did not answer in time to ${call}`);
      throw new CalendlyError("unavailable", `Calendly could not be reached for ${call}`, {}, { cause });
    }
  }

  async function ask<T>(request: Request, schema: z.ZodType<T>, options: CallOptions = {}): Promise<T> {
    return readAnswer(request.call, await perform(request, options), schema);
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
    const page = z.looseObject({ collection: z.array(item), pagination });
    let next: string | null | undefined;
    do {
      const more = next ? { page_token: next } : {};
      const answer = await get(call, path, [scope], page, options, { ...query, count: PAGE_SIZE, ...more });
      yield* answer.collection;
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
    scheduledEvents: ({ organization, minStart, maxStart }, options) =>
      list(
        "scheduled events",
        "/scheduled_events",
        EVENTS,
        scheduledEventPayload,
        {
          organization,
          sort: "start_time:asc",
          ...(minStart && { min_start_time: minStart }),
          ...(maxStart && { max_start_time: maxStart }),
        },
        options,
      ),
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
    async createWebhookSubscription({ signingKey, ...rest }, options) {
      const request = {
        call: "a new webhook subscription",
        method: "POST",
        path: "/webhook_subscriptions",
        body: { ...rest, signing_key: signingKey },
        scopes: ["webhooks:write"],
      } as const;
      return (await ask(request, z.looseObject({ resource: subscription }), options)).resource;
    },
    async deleteWebhookSubscription(uri, options = {}) {
      const call = "the deletion of a webhook subscription";
      await perform({ call, method: "DELETE", path: subscriptionPath(uri), scopes: ["webhooks:write"] }, options);
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
  const problems = read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  const message = `Calendly's answer to ${call} does not fit: ${problems.join("; ")}`;
  throw new CalendlyError("unreadable_answer", message, { problems, shape: shapeOf(json) });
}

function errorOfEnd(call: string, stopping: AbortSignal): CalendlyError {
  return stopping.aborted
    ? new CalendlyError("unavailable", `${call} was not asked for: stopping`)
    : new CalendlyError("timed_out", `Calendly did not answer in time to ${call}, however often it was asked`);
}
