import type { InviteeFact } from "@calendly-worker/core/bookings/facts";
import { isInScope, type Scope } from "@calendly-worker/core/bookings/scope";
import { OWN_EVENTS, type Reading } from "@calendly-worker/core/calendly/deliveries";
import type { KeyName, SignatureError, Verdict } from "@calendly-worker/core/calendly/signature";

/** What is said of every delivery that Calendly has signed. */
interface Genuine {
  /** The fact's identity, or `body/<sha256>`. */
  readonly id: string;
  readonly signedWith: KeyName;
  /** What it told, or "unknown". */
  readonly told: string;
}

/** How a delivery ended. Each kind has one HTTP status, see routes/webhook.ts. */
export type Outcome =
  | ({ readonly kind: "accepted" } & Genuine)
  | ({ readonly kind: "duplicate" } & Genuine)
  /** Genuine, but of a type that nobody handles. */
  | ({ readonly kind: "ignored" } & Genuine)
  /** Genuine, but about an event type that this deployment does not handle. */
  | ({ readonly kind: "out_of_scope" } & Genuine)
  /** Genuine, but not readable: kept whole for ops. */
  | ({ readonly kind: "quarantined" } & Genuine)
  /** Genuine, but too late to be trusted: kept as a hint. */
  | ({ readonly kind: "deferred" } & Genuine)
  | { readonly kind: "refused"; readonly code: SignatureError }
  /** Redis did not take it: Calendly tries again. */
  | { readonly kind: "unavailable"; readonly err: unknown };

export type Fact = Extract<Reading, { kind: "fact" }>;
export type Unreadable = Extract<Reading, { kind: "unreadable" }>;

/** What arrived, beside what it says. */
export interface Arrival {
  readonly body: Uint8Array;
  readonly signedWith: KeyName;
  readonly generation?: string;
}

export interface Ports {
  verify(header: string | undefined, body: Uint8Array): Verdict;
  read(body: Uint8Array): Reading;
  /** Calendly has delivered something in time that this key verifies. */
  onDelivered(key: KeyName): void;
  enqueue(fact: Fact, arrival: Arrival): Promise<"new" | "seen">;
  quarantine(
    unreadable: Omit<Unreadable, "reason"> & { readonly reason: Unreadable["reason"] | "late" },
    arrival: Arrival,
  ): Promise<void>;
  /**
   * Keeps which fact a late delivery was about, and nothing of what it said; "confirmed" where Calendly's API has been
   * asked for it by now.
   */
  hint(fact: InviteeFact, signedAt: number, arrival: Arrival): Promise<"kept" | "confirmed">;
  onOutcome(result: Outcome["kind"]): void;
  /** A genuine delivery is older than the window. */
  onLate(result: Outcome["kind"]): void;
  readonly scope: Scope;
  readonly lateDeliveries: "refuse" | "defer";
}

export interface Request {
  readonly signature: string | undefined;
  readonly body: Uint8Array;
  readonly generation?: string;
}

/** Bytes in, an outcome out. Nothing is parsed before the signature has been checked. Never throws. */
export async function receive(ports: Ports, request: Request): Promise<Outcome> {
  const verdict = ports.verify(request.signature, request.body);
  if (verdict.kind === "refused") return verdict;

  const reading = ports.read(request.body);
  if (verdict.kind === "genuine" && !isOwn(reading)) ports.onDelivered(verdict.key);
  const { signature: _, ...rest } = request;
  const arrival = { ...rest, signedWith: verdict.key };
  try {
    if (verdict.kind === "genuine") return await receiveInTime(ports, reading, arrival);
    const outcome = await receiveLate(ports, reading, arrival, verdict.signedAt);
    ports.onLate(outcome.kind);
    return outcome;
  } catch (err) {
    return { kind: "unavailable", err };
  }
}

/** What this project sends itself says nothing about whether Calendly delivers. */
function isOwn(reading: Reading): boolean {
  if (reading.kind === "unhandled") return reading.event.startsWith(OWN_EVENTS);
  return reading.kind === "fact" && reading.test !== undefined;
}

function eventOf(reading: Reading): string {
  if (reading.kind === "fact") return reading.job;
  return reading.kind === "unhandled" ? reading.event : "unknown";
}

async function receiveInTime(ports: Ports, reading: Reading, arrival: Arrival): Promise<Outcome> {
  const genuine: Genuine = { id: reading.identity, signedWith: arrival.signedWith, told: eventOf(reading) };
  switch (reading.kind) {
    case "unhandled":
      return { kind: "ignored", ...genuine };
    case "unreadable":
      await ports.quarantine(reading, arrival);
      return { kind: "quarantined", ...genuine };
    case "fact":
      if (reading.test === undefined && !isInScope(reading.fact, ports.scope))
        return { kind: "out_of_scope", ...genuine };
      return { kind: (await ports.enqueue(reading, arrival)) === "new" ? "accepted" : "duplicate", ...genuine };
  }
}

/**
 * What comes late is never taken as data. Of what Calendly can be asked for only the hint is kept; what it cannot tell
 * again, such as the marking of a no-show, is left to ops.
 */
async function receiveLate(ports: Ports, reading: Reading, arrival: Arrival, signedAt: number): Promise<Outcome> {
  const genuine: Genuine = { id: reading.identity, signedWith: arrival.signedWith, told: eventOf(reading) };
  if (reading.kind === "unhandled") return { kind: "ignored", ...genuine };
  if (reading.kind === "fact" && reading.test !== undefined)
    return { kind: "refused", code: "timestamp_outside_window" };
  if (reading.kind === "unreadable") await ports.quarantine({ ...reading, reason: "late" }, arrival);
  else {
    const { fact, job, identity } = reading;
    if (!isInScope(fact, ports.scope)) return { kind: "out_of_scope", ...genuine };
    // All that it would do is to have the event type asked for once more.
    if (fact.kind === "event_type") return { kind: "ignored", ...genuine };
    const canBeAsked = fact.kind === "invitee" && !job.startsWith("invitee_no_show.");
    if (canBeAsked) {
      if ((await ports.hint(fact, signedAt, arrival)) === "confirmed") return { kind: "duplicate", ...genuine };
    } else await ports.quarantine({ kind: "unreadable", identity, reason: "late", problems: [] }, arrival);
  }
  return ports.lateDeliveries === "defer"
    ? { kind: "deferred", ...genuine }
    : { kind: "refused", code: "timestamp_outside_window" };
}
