import { z } from "zod";
import { CalendlyError, errorOfAnswer } from "./errors.ts";
import { eventTypePayload, inviteePayload, scheduledEventPayload } from "./payloads.ts";
import { parseInviteeUri, parseResourceUri } from "./references.ts";

/** Calendly's API, as far as it is asked (https://developer.calendly.com/api-docs). Every call rejects with a CalendlyError. */
export interface CalendlyClient {
  /** The user whose token it is. */
  currentUser(): Promise<CurrentUser>;
  /** An invitee, without its event. */
  invitee(uri: string): Promise<ApiInvitee>;
  scheduledEvent(uri: string): Promise<ApiScheduledEvent>;
  eventType(uri: string): Promise<ApiEventType>;
  /** Times at which an event type can be booked: in the future, 7 days at most. */
  availableTimes(eventType: string, range: { readonly start: string; readonly end: string }): Promise<AvailableTime[]>;
  /** All of an organization's events that start in that time, by start. Pages are fetched as one goes on. */
  scheduledEvents(query: {
    readonly organization: string;
    readonly minStart?: string;
    readonly maxStart?: string;
  }): AsyncGenerator<ApiScheduledEvent>;
  /** All invitees of an event, canceled ones too. */
  invitees(eventUri: string): AsyncGenerator<ApiInvitee>;
}

const user = z.looseObject({ uri: z.string(), current_organization: z.string() });
const invitee = inviteePayload.omit({ scheduled_event: true });
const availableTime = z.looseObject({ start_time: z.string(), invitees_remaining: z.int().nullish() });

export type CurrentUser = z.output<typeof user>;
export type ApiInvitee = z.output<typeof invitee>;
export type ApiScheduledEvent = z.output<typeof scheduledEventPayload>;
export type ApiEventType = z.output<typeof eventTypePayload>;
export type AvailableTime = z.output<typeof availableTime>;

const pagination = z.looseObject({ next_page_token: z.string().nullish() });
const PAGE_SIZE = "100";

export function createCalendlyClient(ports: {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly token: string;
  /** For one call, from the request to the last byte of the answer. */
  readonly timeoutMs: number;
  /** Ends all calls in flight. */
  readonly signal: AbortSignal;
}): CalendlyClient {
  const { baseUrl, token, timeoutMs } = ports;

  async function get<T>(call: string, path: string, schema: z.ZodType<T>, query: Record<string, string> = {}) {
    const url = new URL(`${baseUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    const signal = AbortSignal.any([ports.signal, AbortSignal.timeout(timeoutMs)]);
    let text: string;
    try {
      const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, redirect: "error", signal });
      text = await response.text();
      if (!response.ok) throw errorOfAnswer(call, response.status, response.headers);
    } catch (error) {
      throw error instanceof CalendlyError ? error : errorOfFailure(call, error, ports.signal);
    }
    return readAnswer(call, text, schema);
  }

  async function* list<T>(call: string, path: string, item: z.ZodType<T>, query: Record<string, string>) {
    const page = z.looseObject({ collection: z.array(item), pagination });
    let token: string | null | undefined;
    do {
      const more = token ? { page_token: token } : {};
      const answer = await get(call, path, page, { ...query, count: PAGE_SIZE, ...more });
      yield* answer.collection;
      token = answer.pagination.next_page_token;
    } while (token);
  }

  const resource = <T>(schema: z.ZodType<T>) => z.looseObject({ resource: schema });
  const eventPath = (uri: string) => `/scheduled_events/${parseResourceUri(uri)}`;

  return {
    currentUser: async () => (await get("the current user", "/users/me", resource(user))).resource,
    async invitee(uri) {
      const { eventId, inviteeId } = parseInviteeUri(uri);
      const path = `/scheduled_events/${eventId}/invitees/${inviteeId}`;
      return (await get("an invitee", path, resource(invitee))).resource;
    },
    scheduledEvent: async (uri) =>
      (await get("a scheduled event", eventPath(uri), resource(scheduledEventPayload))).resource,
    eventType: async (uri) =>
      (await get("an event type", `/event_types/${parseResourceUri(uri)}`, resource(eventTypePayload))).resource,
    async availableTimes(eventType, { start, end }) {
      const schema = z.looseObject({ collection: z.array(availableTime) });
      const query = { event_type: eventType, start_time: start, end_time: end };
      return (await get("available times", "/event_type_available_times", schema, query)).collection;
    },
    scheduledEvents: ({ organization, minStart, maxStart }) =>
      list("scheduled events", "/scheduled_events", scheduledEventPayload, {
        organization,
        sort: "start_time:asc",
        ...(minStart && { min_start_time: minStart }),
        ...(maxStart && { max_start_time: maxStart }),
      }),
    invitees: (eventUri) => list("an event's invitees", `${eventPath(eventUri)}/invitees`, invitee, {}),
  };
}

function readAnswer<T>(call: string, text: string, schema: z.ZodType<T>): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new CalendlyError("unreadable_answer", `Calendly's answer to ${call} is no JSON`);
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  const problems = read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  throw new CalendlyError("unreadable_answer", `Calendly's answer to ${call} does not fit: ${problems}`);
}

function errorOfFailure(call: string, error: unknown, stopping: AbortSignal): CalendlyError {
  if (stopping.aborted) return new CalendlyError("unavailable", `${call} was not asked for: stopping`);
  const isTimeout = error instanceof Error && error.name === "TimeoutError";
  return isTimeout
    ? new CalendlyError("timed_out", `Calendly did not answer in time to ${call}`)
    : new CalendlyError("unavailable", `Calendly could not be reached for ${call}`, { cause: error });
}
