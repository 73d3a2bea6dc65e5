import type { OutcomeEvent } from "./outcome-event.ts";

/** Which outcomes somebody wants, or may see. What is not given does not matter. */
export interface OutcomeFilter {
  readonly types?: readonly string[] | undefined;
  /** URIs or ids. What belongs to no event type passes none of them. */
  readonly eventTypes?: readonly string[] | undefined;
  /** URIs or ids of users. What belongs to no host passes none of them. */
  readonly hosts?: readonly string[] | undefined;
}

/** The last part of a URI, which is the id; an id stays as it is. */
export function idOf(uri: string): string {
  return uri.split("/").findLast((part) => part !== "") ?? uri;
}

/** `booking.erased` names nothing but the booking: whoever may have been told of it must be told to forget it. */
export function matches(event: OutcomeEvent, { types, eventTypes, hosts }: OutcomeFilter): boolean {
  if (types !== undefined && !types.includes(event.type)) return false;
  if (event.type === "booking.erased") return true;
  return isAmong(eventTypeOf(event), eventTypes) && isAmong(hostsOf(event), hosts);
}

function isAmong(uris: readonly string[], wanted: readonly string[] | undefined): boolean {
  if (wanted === undefined) return true;
  const ids = wanted.map(idOf);
  return uris.some((uri) => ids.includes(idOf(uri)));
}

function eventTypeOf({ data }: OutcomeEvent): string[] {
  const type = "booking" in data && "event" in data.booking ? data.booking.event.type : null;
  return type === null ? [] : [type.uri];
}

function hostsOf({ data }: OutcomeEvent): string[] {
  if ("conflict" in data) return [data.conflict.host];
  return "booking" in data && "hosts" in data.booking ? data.booking.hosts.map(({ uri }) => uri) : [];
}
