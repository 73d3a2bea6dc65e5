import { parseInviteeUri } from "../calendly/references.ts";

/** Whether a text, JSON or not, holds an e-mail address (given in lower case). */
export function mentions(text: string, email: string): boolean {
  if (text.toLowerCase().includes(email)) return true;
  // JSON may write any character as \uXXXX.
  const read = parse(text);
  return read !== undefined && JSON.stringify(read).toLowerCase().includes(email);
}

/** Id of the invitee that a delivery's JSON is about, where that one has the e-mail address (given in lower case). */
export function ownerOf(body: unknown, email: string): string | undefined {
  const { payload } = (body ?? {}) as { payload?: { uri?: unknown; email?: unknown } | null };
  const { uri, email: owner } = payload ?? {};
  if (typeof owner !== "string" || owner.toLowerCase() !== email || typeof uri !== "string") return undefined;
  try {
    return parseInviteeUri(uri).inviteeId;
  } catch {
    return undefined;
  }
}

/** The same without an e-mail address (given in lower case): dropped from lists, `[erased]` wherever else it stands. */
export function redact<T>(value: T, email: string): T {
  const address = new RegExp(email.replaceAll(/[^\w@]/g, "\\$&"), "gi");
  return JSON.parse(JSON.stringify(value), (_key, part: unknown) => {
    if (Array.isArray(part)) return part.filter((item) => item !== ERASED);
    return typeof part === "string" ? part.replace(address, ERASED) : part;
  });
}

const ERASED = "[erased]";

/** What a text says as JSON; undefined where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
