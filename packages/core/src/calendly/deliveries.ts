import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { InviteeFact } from "../bookings/facts.ts";
import { inviteeFact } from "./invitee-facts.ts";
import { envelope, inviteePayload } from "./payloads.ts";
import { parseInviteeUri } from "./references.ts";

/** Why a genuine delivery cannot be taken as a fact and is kept for ops. */
export type UnreadableReason = "not_utf8" | "not_json" | "not_an_envelope" | "payload_invalid";

export type JobName = "invitee.created" | "invitee.canceled" | "invitee.rescheduled";

/** What a genuine delivery turns out to be. `identity` is the same for every delivery of one fact. */
export type Reading =
  | { readonly kind: "fact"; readonly identity: string; readonly job: JobName; readonly fact: InviteeFact }
  | { readonly kind: "unhandled"; readonly identity: string; readonly event: string }
  | {
      readonly kind: "unreadable";
      readonly identity: string;
      readonly reason: UnreadableReason;
      /** Which fields do not fit and what was expected; never a value. */
      readonly problems: readonly string[];
    };

const INVITEE_EVENTS: readonly string[] = ["invitee.created", "invitee.canceled", "invitee.rescheduled"];

/** Reads the bytes of a delivery whose signature has been checked. Never throws. */
export function readDelivery(body: Uint8Array): Reading {
  const bodyIdentity = () => `body/${createHash("sha256").update(body).digest("hex")}`;
  const unreadable = (reason: UnreadableReason, problems: readonly string[] = []): Reading => ({
    kind: "unreadable",
    identity: bodyIdentity(),
    reason,
    problems,
  });

  if (!isUtf8(body)) return unreadable("not_utf8");
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch {
    return unreadable("not_json");
  }

  const wrapped = envelope.safeParse(json);
  if (!wrapped.success) return unreadable("not_an_envelope", describe(wrapped.error));
  const { event, payload } = wrapped.data;
  if (!INVITEE_EVENTS.includes(event)) return { kind: "unhandled", identity: bodyIdentity(), event };

  const invitee = inviteePayload.safeParse(payload);
  if (!invitee.success) {
    const identity = identityOfBrokenInvitee(event, payload) ?? bodyIdentity();
    return { kind: "unreadable", identity, reason: "payload_invalid", problems: describe(invitee.error) };
  }
  const fact = inviteeFact(event, invitee.data);
  return { kind: "fact", identity: fact.identity, job: jobName(fact), fact };
}

/** Where the payload does not fit but still names its invitee, repeats of it are one entry in quarantine. */
function identityOfBrokenInvitee(event: string, payload: Readonly<Record<string, unknown>>): string | undefined {
  const named = inviteePayload.pick({ uri: true }).safeParse(payload);
  return named.success && event !== "invitee.rescheduled"
    ? `${event}/${parseInviteeUri(named.data.uri).inviteeId}`
    : undefined;
}

function jobName(fact: InviteeFact): JobName {
  if (fact.canceled && !fact.rescheduled) return "invitee.canceled";
  return fact.rescheduled || fact.oldInvitee !== undefined ? "invitee.rescheduled" : "invitee.created";
}

function describe(error: {
  readonly issues: readonly { readonly path: PropertyKey[]; readonly message: string }[];
}): string[] {
  return error.issues.map(({ path, message }) => `${path.map(String).join(".") || "body"}: ${message}`);
}
