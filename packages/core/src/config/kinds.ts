import { isIP } from "node:net";
import { z } from "zod";
import { readRedisUrl } from "./redis-url.ts";

/** What an environment variable can hold: the parser and the words for "expected …". */
export interface Kind<Value> {
  readonly schema: z.ZodType<Value, string>;
  readonly expected: string;
}

export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): Kind<number> {
  return {
    schema: z
      .string()
      .regex(/^\d+$/)
      .transform(Number)
      .refine((value) => value >= min && value <= max),
    expected:
      max === Number.MAX_SAFE_INTEGER ? `a whole number, ${min} or more` : `a whole number from ${min} to ${max}`,
  };
}

export const port: Kind<number> = wholeNumber(0, 65_535);

export const flag: Kind<boolean> = { schema: z.stringbool(), expected: "true or false" };

export const text: Kind<string> = { schema: z.string(), expected: "a text" };

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values): Kind<Values[number]> {
  return {
    schema: z.enum(values) as unknown as z.ZodType<Values[number], string>,
    expected: `one of ${values.join(", ")}`,
  };
}

export function listOf<const Values extends readonly [string, ...string[]]>(values: Values): Kind<Values[number][]> {
  return {
    schema: z
      .string()
      .transform((list) => list.split(",").map((item) => item.trim()))
      .pipe(z.array(z.enum(values))) as unknown as z.ZodType<Values[number][], string>,
    expected: `a comma-separated list of ${values.join(", ")}`,
  };
}

/** Names that Calendly made: URIs or ids. */
export const names: Kind<string[]> = {
  schema: z
    .string()
    .transform((list) => list.split(",").map((item) => item.trim()))
    .refine((list) => list.every((name) => /^[\w:/.-]+$/.test(name))) as unknown as z.ZodType<string[], string>,
  expected: "a comma-separated list of URIs or ids",
};

/** Keys and tokens are opaque, but a space or line break inside one is a slip of copying. */
export const secret: Kind<string> = { schema: z.string().regex(/^\S+$/), expected: "a value without white space" };

export function url(...protocols: [string, ...string[]]): Kind<string> {
  return {
    schema: z
      .string()
      .refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol.slice(0, -1))),
    expected: `a URL that begins with ${protocols.map((protocol) => `${protocol}://`).join(" or ")}`,
  };
}

/** Where Redis is, as `readRedisUrl` reads it. */
export const redisUrl: Kind<string> = {
  schema: z.string().refine((value) => readRedisUrl(value) !== undefined),
  expected:
    "a URL such as redis://host:6379; with Sentinels, redis-sentinel://host:26379,host:26379/name-of-the-primary; of a " +
    "cluster, redis-cluster://host:6379,host:6379; rediss… for TLS",
};

/** A point in time, in ms. */
export const instant: Kind<number> = {
  schema: z.iso.datetime({ offset: true }).transform(Date.parse),
  expected: "a time such as 2026-11-23T14:00:00Z",
};

export const path: Kind<string> = {
  schema: z.string().regex(/^(\/[A-Za-z0-9._~-]+)+$/),
  expected: "a path such as /api/webhooks/calendly, without a slash at its end",
};

/** Host names, with `*.` for what is below one, and ranges of addresses: all in lower case. */
export const hostsOrRanges: Kind<string[]> = {
  schema: z
    .string()
    .transform((list) => list.split(",").map((item) => item.trim().toLowerCase()))
    .refine((list) => list.every(isHostOrRange)) as unknown as z.ZodType<string[], string>,
  expected:
    "host names such as hooks.internal or *.svc.cluster.local, and ranges such as 10.0.0.0/8, separated by commas",
};

function isHostOrRange(item: string): boolean {
  const [address = "", bits, ...rest] = item.split("/");
  if (bits === undefined) return /^(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?$/.test(item) || isIP(item) !== 0;
  const family = isIP(address);
  return rest.length === 0 && /^\d{1,3}$/.test(bits) && family !== 0 && Number(bits) <= (family === 4 ? 32 : 128);
}
