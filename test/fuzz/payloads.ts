import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import fc from "fast-check";

const FOLDER = new URL("../fixtures/deliveries/", import.meta.url);
const SAMPLES = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.stringify(JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"))));

const DEPTH = 2_000;

/** Values, as JSON, that nobody expects anywhere. */
const STRANGE_VALUES = [
  "null",
  "true",
  "0",
  "-0",
  "1e400",
  "123456789012345678901234567890",
  '""',
  "[]",
  "{}",
  "[null]",
  '{"__proto__":{"isAdmin":true}}',
  '{"constructor":{"prototype":{"isAdmin":true}}}',
  '"\\ud800"',
  '"\\u0000"',
  '"\\u202e\\ufeff"',
  '"https://api.calendly.com/scheduled_events//invitees/"',
  '"https://api.calendly.com/scheduled_events/A/invitees/../../B"',
  '"9999-99-99T99:99:99.000000Z"',
  '"+275760-09-13T00:00:00.001Z"',
  `"${"x".repeat(70_000)}"`,
  "[".repeat(DEPTH) + "]".repeat(DEPTH),
  `${'{"a":'.repeat(DEPTH)}1${"}".repeat(DEPTH)}`,
] as const;

const spot = fc.double({ min: 0, max: 1, noNaN: true });

/** What is done to a sample's text. */
type Mutation = (text: string) => string;

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(spot, fc.constantFrom(...STRANGE_VALUES)).map(([at, value]) => replaceValue(at, value)),
  },
  { weight: 2, arbitrary: spot.map(dropField) },
  {
    weight: 2,
    arbitrary: fc.tuple(spot, fc.constantFrom(...STRANGE_VALUES)).map(([at, value]) => repeatKey(at, value)),
  },
  fc.tuple(spot, fc.string({ maxLength: 3, unit: "binary" })).map(([at, junk]) => insert(at, junk)),
  spot.map(
    (at): Mutation =>
      (text) =>
        text.slice(0, Math.floor(at * text.length)),
  ),
  fc.constant<Mutation>((text) => `\ufeff${text}`),
  fc.constant<Mutation>((text) => text + text),
  fc.constant<Mutation>((text) => `[${text}]`),
);

/** A value's place in the text of a sample: after a key, up to the next comma or bracket. */
const VALUE = /("(?:[^"\\]|\\.)*":)("(?:[^"\\]|\\.)*"|[^,{}[\]]+)/g;

function replaceValue(at: number, value: string): Mutation {
  return (text) => edit(text, at, ([key = ""]) => key + value);
}

function dropField(at: number): Mutation {
  return (text) => edit(text, at, () => '"dropped":0');
}

function repeatKey(at: number, value: string): Mutation {
  return (text) => edit(text, at, ([key = "", old = ""]) => `${key}${old},${key}${value}`);
}

function insert(at: number, junk: string): Mutation {
  return (text) => {
    const place = Math.floor(at * text.length);
    return text.slice(0, place) + junk + text.slice(place);
  };
}

function edit(text: string, at: number, change: (parts: readonly string[]) => string): string {
  const found = [...text.matchAll(VALUE)];
  const match = found[Math.min(Math.floor(at * found.length), found.length - 1)];
  if (match === undefined) return text;
  return text.slice(0, match.index) + change(match.slice(1)) + text.slice(match.index + match[0].length);
}

/** A delivery's body that began as one of Calendly's, and that somebody was careless with. */
export const payload: fc.Arbitrary<Buffer<ArrayBuffer>> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc
      .tuple(fc.constantFrom(...SAMPLES), fc.array(mutation, { minLength: 1, maxLength: 4 }))
      .map(([sample, mutations]) => Buffer.from(mutations.reduce((text, mutate) => mutate(text), sample))),
  },
  fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
  fc.json().map((text) => Buffer.from(text)),
);

/** Whatever the body is, it is read as one of three kinds, and always as the same; nothing else in the process changes. */
export const payloadsAreRead = fc.property(payload, (body) => {
  const reading = readDelivery(body);
  if (!["fact", "unhandled", "unreadable"].includes(reading.kind)) throw new Error(`read as ${reading.kind}`);
  if (reading.identity.length > 1_000) throw new Error(`its identity has ${reading.identity.length} letters`);
  if (!isDeepStrictEqual(readDelivery(body), reading)) throw new Error("read twice, it is something else");
  if ("isAdmin" in {}) throw new Error("the prototype of all objects was changed");
});
