import { createHmac } from "node:crypto";
import { isSameDigest } from "./secrets.ts";

export type KeyName = "primary" | "secondary";

/** One accepted signing key. Rotation is a list with two of them, not a mode. */
export interface SigningKey {
  readonly name: KeyName;
  readonly key: string;
}

export type SignatureError =
  | "signature_missing"
  | "signature_malformed"
  | "signature_mismatch"
  | "timestamp_outside_window";

export type Verdict =
  | { readonly kind: "genuine"; readonly key: KeyName }
  /** Signed by Calendly, but older than the window: never taken as data, kept as a hint. */
  | { readonly kind: "late"; readonly key: KeyName; readonly signedAt: number }
  | { readonly kind: "refused"; readonly code: SignatureError };

export type Verify = (header: string | undefined, body: Uint8Array) => Verdict;

/** Calendly retries for 24 h; what is older than this is no retry of its own. */
const OLDEST_LATE_SECONDS = 25 * 3_600;

/**
 * Makes the check of `Calendly-Webhook-Signature: t=<unix seconds>,v1=<hex>`, where v1 is HMAC-SHA256 of `t`, a dot and
 * the raw body under the UTF-8 bytes of the signing key (https://developer.calendly.com, webhook signatures).
 * `now` gives milliseconds. Throws a TypeError without a key or with an empty one: that must never mean "accept".
 */
export function createVerifier(ports: {
  readonly keys: readonly SigningKey[];
  readonly windowSeconds: number;
  readonly now: () => number;
}): Verify {
  const { keys, windowSeconds, now } = ports;
  if (keys.length === 0 || keys.some(({ key }) => key.length === 0)) {
    throw new TypeError("a verifier needs at least one signing key, and no empty one");
  }

  return (header, body) => {
    if (header === undefined || header.trim() === "") return refused("signature_missing");
    const signature = parseSignature(header);
    if (signature === undefined) return refused("signature_malformed");

    const key = keys.find((candidate) => matches(candidate.key, signature, body));
    if (key === undefined) return refused("signature_mismatch");

    const ageSeconds = now() / 1_000 - signature.time;
    if (Math.abs(ageSeconds) <= windowSeconds) return { kind: "genuine", key: key.name };
    if (ageSeconds > 0 && ageSeconds <= OLDEST_LATE_SECONDS) {
      return { kind: "late", key: key.name, signedAt: signature.time };
    }
    return refused("timestamp_outside_window");
  };
}

/** The header that a body is sent with, as Calendly would. `seconds` is the signature's time, unix. */
export function signatureHeader(key: string, body: string | Uint8Array, seconds: number): string {
  const digest = createHmac("sha256", key).update(`${seconds}.`).update(body).digest("hex");
  return `t=${seconds},v1=${digest}`;
}

interface Signature {
  /** As sent: the signed bytes begin with this very text. */
  readonly timeText: string;
  readonly time: number;
  readonly digests: readonly Buffer[];
}

function parseSignature(header: string): Signature | undefined {
  const parts = header.split(",").map((part) => part.trim());
  const valuesOf = (name: string) =>
    parts.filter((part) => part.startsWith(`${name}=`)).map((part) => part.slice(name.length + 1));
  const [timeText, ...furtherTimes] = valuesOf("t");
  const digests = valuesOf("v1").filter((value) => /^[0-9a-f]{64}$/.test(value));
  if (timeText === undefined || furtherTimes.length > 0 || !/^\d{1,12}$/.test(timeText) || digests.length === 0) {
    return undefined;
  }
  return { timeText, time: Number(timeText), digests: digests.map((hex) => Buffer.from(hex, "hex")) };
}

function matches(key: string, signature: Signature, body: Uint8Array): boolean {
  const expected = createHmac("sha256", key).update(`${signature.timeText}.`).update(body).digest();
  return signature.digests.some((digest) => isSameDigest(digest, expected));
}

function refused(code: SignatureError): Verdict {
  return { kind: "refused", code };
}
