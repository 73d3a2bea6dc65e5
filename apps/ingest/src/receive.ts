import type { Reading } from "@calendly-worker/core/calendly/deliveries";
import type { KeyName, SignatureError, Verdict } from "@calendly-worker/core/calendly/signature";

/** What is said of every delivery that Calendly has signed. */
interface Genuine {
  /** The fact's identity, or `body/<sha256>`. */
  readonly id: string;
  readonly signedWith: KeyName;
}

/** How a delivery ended. Each kind has one HTTP status, see routes/webhook.ts. */
export type Outcome =
  | ({ readonly kind: "accepted" } & Genuine)
  | ({ readonly kind: "duplicate" } & Genuine)
  /** Genuine, but of a type that nobody handles. */
  | ({ readonly kind: "ignored" } & Genuine)
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
  enqueue(fact: Fact, arrival: Arrival): Promise<"new" | "seen">;
  quarantine(
    unreadable: Omit<Unreadable, "reason"> & { readonly reason: Unreadable["reason"] | "late" },
    arrival: Arrival,
  ): Promise<void>;
  /** Keeps which fact a late delivery was about, and nothing of what it said. */
  hint(fact: Fact, signedAt: number): Promise<void>;
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
  const { signature: _, ...rest } = request;
  const arrival = { ...rest, signedWith: verdict.key };
  try {
    return verdict.kind === "late"
      ? await receiveLate(ports, reading, arrival, verdict.signedAt)
      : await receiveInTime(ports, reading, arrival);
  } catch (err) {
    return { kind: "unavailable", err };
  }
}

async function receiveInTime(ports: Ports, reading: Reading, arrival: Arrival): Promise<Outcome> {
  const genuine: Genuine = { id: reading.identity, signedWith: arrival.signedWith };
  switch (reading.kind) {
    case "unhandled":
      return { kind: "ignored", ...genuine };
    case "unreadable":
      await ports.quarantine(reading, arrival);
      return { kind: "quarantined", ...genuine };
    case "fact":
      return { kind: (await ports.enqueue(reading, arrival)) === "new" ? "accepted" : "duplicate", ...genuine };
  }
}

/**
 * What comes late is never taken as data. Of a fact only the hint is kept, to ask Calendly for it; what cannot be asked
 * for is left to ops.
 */
async function receiveLate(ports: Ports, reading: Reading, arrival: Arrival, signedAt: number): Promise<Outcome> {
  const genuine: Genuine = { id: reading.identity, signedWith: arrival.signedWith };
  switch (reading.kind) {
    case "unhandled":
      return { kind: "ignored", ...genuine };
    case "unreadable":
      await ports.quarantine({ ...reading, reason: "late" }, arrival);
      break;
    case "fact":
      await ports.hint(reading, signedAt);
  }
  return ports.lateDeliveries === "defer"
    ? { kind: "deferred", ...genuine }
    : { kind: "refused", code: "timestamp_outside_window" };
}
