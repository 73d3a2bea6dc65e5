import { createHmac } from "node:crypto";
import { createVerifier, type SigningKey, type Verdict } from "@calendly-worker/core/calendly/signature";
import fc from "fast-check";

const NOW_S = 1_795_000_000;
const WINDOW_S = 300;
const DAY_AND_HOUR_S = 25 * 3_600;
const KEYS: readonly SigningKey[] = [
  { name: "primary", key: "fuzz-primary-not-a-secret" },
  { name: "secondary", key: "fuzz-secondary-not-a-secret-ü" },
];
const STRANGER = "a key that nobody gave out";

const verify = createVerifier({ keys: KEYS, windowSeconds: WINDOW_S, now: () => NOW_S * 1_000 });

const digestOf = (key: string, time: string, body: Uint8Array) =>
  createHmac("sha256", key).update(`${time}.`).update(body).digest("hex");

const body = fc.uint8Array({ maxLength: 200 });
const time = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: NOW_S - WINDOW_S - 3, max: NOW_S + WINDOW_S + 3 }).map(String) },
  fc.integer({ min: NOW_S - DAY_AND_HOUR_S - 3, max: NOW_S - DAY_AND_HOUR_S + 3 }).map(String),
  fc.constantFrom(
    "",
    "0",
    "-1",
    "1e9",
    `0${NOW_S}`,
    ` ${NOW_S}`,
    `+${NOW_S}`,
    `${NOW_S}.0`,
    "9".repeat(30),
    "NaN",
    "٣",
  ),
  fc.string({ maxLength: 12 }),
);
const signer = fc.constantFrom(...KEYS.map(({ key }) => key), STRANGER);

interface Part {
  readonly name: string;
  readonly gap: string;
  /** What the digest's text is turned into. */
  readonly change: (text: string) => string;
  readonly signer: string;
  readonly kind: "time" | "digest" | "noise";
  readonly time: string;
}

const asItIs = (text: string) => text;
const part: fc.Arbitrary<Part> = fc.record({
  name: fc.oneof(
    { weight: 8, arbitrary: fc.constant("") },
    fc.constantFrom("v0", "V1", "v1 ", "T", "t ", "v2", "", "="),
  ),
  gap: fc.constantFrom("", "", "", " ", "\t", "  "),
  change: fc.oneof(
    { weight: 8, arbitrary: fc.constant(asItIs) },
    fc.constantFrom(
      (text: string) => text.toUpperCase(),
      (text: string) => text.slice(1),
      (text: string) => `${text}0`,
      (text: string) => `${text} `,
      (text: string) => text.replace(/./, (digit) => (digit === "0" ? "1" : "0")),
      (text: string) => text.replace(/.$/, "g"),
      () => "",
    ),
  ),
  signer,
  kind: fc.oneof(
    { weight: 3, arbitrary: fc.constant("digest" as const) },
    fc.constantFrom("time" as const, "noise" as const),
  ),
  time,
});

/** A header as Calendly, an attacker or an accident might make it, and the body that comes with it. */
const input = fc.record({
  body,
  time,
  /** Before and after the parts that a header has. */
  parts: fc.array(part, { maxLength: 3 }),
  isWhole: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
  signer,
  isReversed: fc.boolean(),
  separator: fc.oneof({ weight: 8, arbitrary: fc.constant(",") }, fc.constantFrom(", ", ";", ",,", " ,", "&")),
});

type Input = typeof input extends fc.Arbitrary<infer Value> ? Value : never;

function headerOf({ body: bytes, time: text, parts, isWhole, signer: by, isReversed, separator }: Input): string {
  const whole = isWhole ? [`t=${text}`, `v1=${digestOf(by, text, bytes)}`] : [];
  const more = parts.map(({ name, gap, change, signer: other, kind, time: when }) => {
    if (kind === "noise") return gap + change(name);
    if (kind === "time") return `${gap}${name || "t"}=${change(when)}`;
    return `${gap}${name || "v1"}=${change(digestOf(other, text, bytes))}`;
  });
  const all = [...whole, ...more];
  return (isReversed ? all.toReversed() : all).join(separator);
}

/** The header does with the verifier what the rule says, as another program reads the rule. */
export const headersAreJudgedRightly = fc.property(input, (one) => {
  const header = headerOf(one);
  const verdict = verify(header, one.body);
  const expected = judge(header, one.body);
  if (JSON.stringify(verdict) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(header)}: ${JSON.stringify(verdict)}, expected ${JSON.stringify(expected)}`);
  }
});

/** The rule once more, letter by letter: shares no code with the product. */
function judge(header: string, bytes: Uint8Array): Verdict {
  const isSpace = (letter: string | undefined) => letter !== undefined && letter.trim() === "";
  const items: string[] = [""];
  for (const letter of header) {
    if (letter === ",") items.push("");
    else items[items.length - 1] += letter;
  }
  if ([...header].every(isSpace)) return { kind: "refused", code: "signature_missing" };
  const times: string[] = [];
  const digests: string[] = [];
  for (const item of items) {
    let [from, to] = [0, item.length];
    while (from < to && isSpace(item[from])) from++;
    while (to > from && isSpace(item[to - 1])) to--;
    const text = item.substring(from, to);
    const at = text.indexOf("=");
    if (at < 0) continue;
    const [name, value] = [text.substring(0, at), text.substring(at + 1)];
    if (name === "t") times.push(value);
    const isHex = value.length === 64 && [...value].every((digit) => "0123456789abcdef".includes(digit));
    if (name === "v1" && isHex) digests.push(value);
  }
  const [only] = times;
  const isTime =
    times.length === 1 &&
    only !== undefined &&
    only.length >= 1 &&
    only.length <= 12 &&
    [...only].every((digit) => "0123456789".includes(digit));
  if (!isTime || digests.length === 0) return { kind: "refused", code: "signature_malformed" };
  for (const { name, key } of KEYS) {
    if (!digests.includes(digestOf(key, only, bytes))) continue;
    const age = NOW_S - Number.parseInt(only, 10);
    if (age <= WINDOW_S && age >= -WINDOW_S) return { kind: "genuine", key: name };
    if (age > 0 && age <= DAY_AND_HOUR_S) return { kind: "late", key: name, signedAt: Number.parseInt(only, 10) };
    return { kind: "refused", code: "timestamp_outside_window" };
  }
  return { kind: "refused", code: "signature_mismatch" };
}
