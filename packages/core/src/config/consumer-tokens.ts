import { z } from "zod";
import type { Kind } from "./kinds.ts";

/** Somebody who may read bookings and outcomes, and nothing else. */
export interface ConsumerToken {
  readonly name: string;
  readonly token: string;
  /** URIs or ids; undefined for all. */
  readonly eventTypes?: readonly string[];
}

const ENTRY = /^[\w.-]{1,64} +\S{16,}( +[\w:/.-]+)*$/;

/** One entry a line, or between commas: `<name> <token> [<event type> …]`. */
export const consumerTokens: Kind<ConsumerToken[]> = {
  schema: z
    .string()
    .transform((list) =>
      list
        .split(/[\n,]/)
        .map((entry) => entry.replaceAll(/\s+/g, " ").trim())
        .filter((entry) => entry !== "" && !entry.startsWith("#")),
    )
    .refine((entries) => entries.every((entry) => ENTRY.test(entry)))
    .transform((entries) => entries.map(parseEntry))
    .refine(
      (all) => isUnique(all.map(({ name }) => name)) && isUnique(all.map(({ token }) => token)),
    ) as unknown as z.ZodType<ConsumerToken[], string>,
  expected:
    "entries `<name> <token of 16 characters or more> [<event type> …]`, one a line or between commas, no name and no token twice",
};

function parseEntry(entry: string): ConsumerToken {
  const [name = "", token = "", ...eventTypes] = entry.split(" ");
  return { name, token, ...(eventTypes.length > 0 && { eventTypes }) };
}

function isUnique(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}
