import { isInviteeUri, parseInviteeUri } from "../calendly/references.ts";

/** Whether a text, JSON or not, holds an e-mail address (given in lower case). */
export function mentions(text: string, email: string): boolean {
  return unescaped(text).search(patternOf(email)) >= 0;
}

/** Id of the invitee that a delivery's JSON is about, where that one has the e-mail address (given in lower case). */
export function ownerOf(body: unknown, email: string): string | undefined {
  const owner = inviteeIn(body);
  return owner?.email.toLowerCase() === email ? owner.id : undefined;
}

/**
 * Whether a delivery's JSON holds an e-mail address (given in lower case) and does not say whom it is about, as a routing
 * form that somebody has filled in: it may be theirs.
 */
export function mayBeOf(body: unknown, email: string): boolean {
  return inviteeIn(body) === undefined && mentions(JSON.stringify(body), email);
}

/**
 * A delivery's JSON without an e-mail address (given in lower case): who has it is no guest any more. Undefined where it is
 * not known to be about somebody else.
 */
export function redactDelivery(body: unknown, email: string): unknown {
  const owner = inviteeIn(body);
  return owner === undefined || owner.email.toLowerCase() === email ? undefined : redact(body, email);
}

function inviteeIn(body: unknown): { readonly id: string; readonly email: string } | undefined {
  const { payload } = (body ?? {}) as { payload?: { uri?: unknown; email?: unknown } | null };
  const { uri, email } = payload ?? {};
  if (typeof email !== "string" || typeof uri !== "string" || !isInviteeUri(uri)) return undefined;
  return { id: parseInviteeUri(uri).inviteeId, email };
}

/** The same without an e-mail address (given in lower case): dropped from lists of such, else `[erased]` stands for it. */
export function redact<T>(value: T, email: string): T {
  const address = patternOf(email);
  const strike = (text: string) => text.replace(address, ERASED);
  return JSON.parse(JSON.stringify(value), (key, part: unknown) => {
    if (typeof part === "string") return strike(part);
    if (typeof part !== "object" || part === null) return part;
    if (!Array.isArray(part)) return Object.fromEntries(Object.entries(part).map(([name, of]) => [strike(name), of]));
    if (key === GUESTS) return part.filter((guest) => guest?.email !== ERASED);
    // Any other list may be a value and the time that it is from.
    return part.every(isAddress) ? part.filter((item) => item !== ERASED) : part;
  });
}

/** What Calendly calls an event's list of those who come along, each with an `email`. */
const GUESTS = "event_guests";

const ERASED = "[erased]";

function isAddress(item: unknown): boolean {
  return typeof item === "string" && (item === ERASED || item.includes("@"));
}

/** What parts an address from what is before it, as URLs write it: white space, quotes, brackets, and the likes of "=". */
const WRITTEN_SEPARATOR = "%(?:0[9ad]|2[0-389acf]|3[a-f]|5[b-d]|7[b-d])";

/** RFC 5321, 4.5.3.1.1. Without an end, a long row of dots would be read again for each of them. */
const LONGEST_NAME = 64;

/**
 * Finds an e-mail address, in any case and as URLs write it, where it is whole: not the end of a longer name
 * (`joann@x.example`), nor the beginning of a longer domain (`ann@x.example.org`). A name could hold "=", "/", "*" and
 * more of what texts and URLs put before an address; nobody's does, and so they are none of the name.
 */
function patternOf(email: string): RegExp {
  // Where no spaces part words, other alphabets stand right beside an address that has none of their letters.
  const letter = /^[!-~]+$/.test(email) ? "\\p{Script=Latin}" : "\\p{L}";
  const before = `(?:(?<=${WRITTEN_SEPARATOR})|(?<![${letter}\\p{Nd}_][\\p{M}.+'&-]{0,${LONGEST_NAME}}))`;
  const behind = `(?!(?:\\.|-+)?[${letter}\\p{Nd}\\p{M}])`;
  return new RegExp(`${before}${[...email].map(patternOfCharacter).join("")}${behind}`, "giu");
}

function patternOfCharacter(character: string): string {
  if (/[a-z\d]/.test(character)) return character;
  const written = Buffer.from(character).toString("hex").replaceAll(/../g, "%$&");
  return `(?:${character.replace(/[\^$\\.*+?()[\]{}|/]/, "\\$&")}|${written})`;
}

/**
 * JSON may write any character as \uXXXX, and the end of a line as a letter, which would seem to be one of the address
 * behind it.
 */
function unescaped(text: string): string {
  return text.replaceAll(/\\(?:u([\da-fA-F]{4})|(.))/g, (_all, code: string | undefined, character: string) => {
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return "bfnrt".includes(character) ? "\n" : character;
  });
}

/** What a text says as JSON; undefined where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
