import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { z } from "zod";
import type { EventTypeFact, InviteeFact, RoutingFormFact } from "../bookings/facts.ts";
import { inviteeFact } from "./invitee-facts.ts";
import {
  type EventTypePayload,
  envelope,
  eventTypePayload,
  inviteePayload,
  noShowPayload,
  type RoutingFormPayload,
  routingFormPayload,
} from "./payloads.ts";
import { isResourceUri, parseInviteeUri, parseResourceUri } from "./references.ts";

/** Why a genuine delivery cannot be taken as a fact and is kept for ops. */
export type UnreadableReason = "not_utf8" | "not_json" | "not_an_envelope" | "payload_invalid";

/** What Calendly can tell. */
export type DeliveredFact = InviteeFact | RoutingFormFact | EventTypeFact;

/** Begins the names of events that this project sends itself, to see whether its address can be reached. */
export const OWN_EVENTS = "calendly_worker.";

/** What a genuine delivery turns out to be. `identity` is the same for every delivery of one fact. */
export type Reading =
  | {
      readonly kind: "fact";
      readonly identity: string;
      readonly job: string;
      readonly fact: DeliveredFact;
      /** Its own id where it was sent as a test, by whoever has the signing key: it counts for nothing. */
      readonly test?: string;
    }
  | { readonly kind: "unhandled"; readonly identity: string; readonly event: string }
  | {
      readonly kind: "unreadable";
      readonly identity: string;
      readonly reason: UnreadableReason;
      /** Which fields do not fit and what was expected; never a value. */
      readonly problems: readonly string[];
    };

interface Handled<Payload> {
  readonly schema: z.ZodType<Payload>;
  fact(event: string, payload: Payload): DeliveredFact;
  /** A job is named after what happened. */
  job(event: string, fact: DeliveredFact): string;
}

const sameName = (event: string) => event;
const invitee = handled({
  schema: inviteePayload,
  fact: inviteeFact,
  job: (event, fact) => (fact.kind === "invitee" ? inviteeJob(fact) : event),
});
const eventType = handled({ schema: eventTypePayload, fact: eventTypeFact, job: sameName });

/** What is done with each event that is handled. All others are acknowledged and dropped. */
const HANDLED: Readonly<Record<string, Handled<unknown>>> = {
  "invitee.created": invitee,
  "invitee.canceled": invitee,
  "invitee.rescheduled": invitee,
  "invitee_no_show.created": handled({ schema: noShowPayload, fact: inviteeFact, job: sameName }),
  "invitee_no_show.deleted": handled({ schema: inviteePayload, fact: inviteeFact, job: sameName }),
  "routing_form_submission.created": handled({ schema: routingFormPayload, fact: routingFormFact, job: sameName }),
  "event_type.created": eventType,
  "event_type.updated": eventType,
  "event_type.deleted": eventType,
};

function handled<Payload>(how: Handled<Payload>): Handled<unknown> {
  return how as Handled<unknown>;
}

/** Reads the bytes of a delivery whose signature has been checked. Never throws. */
export function readDelivery(bytes: Uint8Array): Reading {
  const unreadable = (reason: UnreadableReason): Reading => ({
    kind: "unreadable",
    identity: identityOfBody(bytes),
    reason,
    problems: [],
  });
  if (!isUtf8(bytes)) return unreadable("not_utf8");
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    return unreadable("not_json");
  }
  return readBody(body, () => identityOfBody(bytes));
}

/** The same of what such bytes say as JSON. Never throws. */
export function readBody(body: unknown, bodyIdentity = () => identityOfBody(JSON.stringify(body))): Reading {
  const wrapped = envelope.safeParse(body);
  if (!wrapped.success) {
    const problems = describe(wrapped.error);
    return { kind: "unreadable", identity: bodyIdentity(), reason: "not_an_envelope", problems };
  }
  const { event, payload, test } = wrapped.data;
  const how = Object.hasOwn(HANDLED, event) ? HANDLED[event] : undefined;
  if (how === undefined) return { kind: "unhandled", identity: bodyIdentity(), event };

  const read = how.schema.safeParse(payload);
  if (!read.success) {
    const identity = identityOfBroken(event, payload) ?? bodyIdentity();
    return { kind: "unreadable", identity, reason: "payload_invalid", problems: describe(read.error) };
  }
  const fact = how.fact(event, read.data);
  // A name of its own, inside what is signed: nothing that Calendly delivers can be sent again as a test.
  if (test) return { kind: "fact", identity: `test/${test.id}`, job: "test", fact, test: test.id };
  return { kind: "fact", identity: fact.identity, job: how.job(event, fact), fact };
}

function identityOfBody(body: Uint8Array | string): string {
  return `body/${createHash("sha256").update(body).digest("hex")}`;
}

/** Where the payload of what happens once to an invitee does not fit but names it, repeats are one entry in quarantine. */
function identityOfBroken(event: string, payload: Readonly<Record<string, unknown>>): string | undefined {
  if (event !== "invitee.created" && event !== "invitee.canceled") return undefined;
  const named = inviteePayload.pick({ uri: true }).safeParse(payload);
  return named.success ? `${event}/${parseInviteeUri(named.data.uri).inviteeId}` : undefined;
}

function inviteeJob(fact: InviteeFact): string {
  if (fact.canceled && !fact.rescheduled) return "invitee.canceled";
  return fact.rescheduled || fact.oldInvitee !== undefined ? "invitee.rescheduled" : "invitee.created";
}

function routingFormFact(event: string, payload: RoutingFormPayload): RoutingFormFact {
  const formId = parseResourceUri(payload.uri);
  const { type, value } = payload.result ?? {};
  const answers = (payload.questions_and_answers ?? []).map(({ question, answer }) => ({
    question: question ?? null,
    answer: answer ?? null,
  }));
  const leadsTo = type === "event_type" && typeof value === "string" && isResourceUri(value) ? value : undefined;
  return {
    kind: "routing_form",
    identity: `${event}/${formId}`,
    formId,
    form: { uri: payload.uri, submittedAt: payload.created_at, answers, ...(leadsTo && { eventType: leadsTo }) },
  };
}

function eventTypeFact(event: string, payload: EventTypePayload): EventTypeFact {
  const eventTypeId = parseResourceUri(payload.uri);
  const identity = `${event}/${eventTypeId}/${payload.updated_at}`;
  return { kind: "event_type", identity, eventTypeId, eventType: payload.uri };
}

function describe(error: {
  readonly issues: readonly { readonly path: PropertyKey[]; readonly message: string }[];
}): string[] {
  return error.issues.map(({ path, message }) => `${path.map(String).join(".") || "body"}: ${message}`);
}
