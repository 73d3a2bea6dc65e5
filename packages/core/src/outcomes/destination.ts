import { z } from "zod";
import { OUTCOME_TYPES } from "../bookings/outcome-data.ts";

const url = z
  .string()
  .max(2_000)
  .refine(isPushable, "expected a URL that begins with https:// or http://, without a user and a password in it");

const fields = {
  url,
  types: z.array(z.enum(OUTCOME_TYPES)).min(1).nullable().describe("types of outcomes; null for all"),
  eventTypes: z.array(z.string().min(1)).min(1).nullable().describe("URIs or ids of event types; null for all"),
  hosts: z.array(z.string().min(1)).min(1).nullable().describe("URIs or ids of users; null for all"),
  ordered: z
    .boolean()
    .describe("whether an outcome waits until the one before it of the same booking is delivered, or given up"),
  concurrency: z.int().min(1).max(100).describe("requests at once, by all workers together"),
};

/** A secret after Standard Webhooks: `whsec_` and 24 to 64 bytes in base64. */
export const webhookSecret = z
  .string()
  .refine(isSecret, "expected whsec_ and 24 to 64 bytes in base64, as Standard Webhooks has it");

export const newDestination = z
  .strictObject({
    url: fields.url,
    types: fields.types.default(null),
    eventTypes: fields.eventTypes.default(null),
    hosts: fields.hosts.default(null),
    ordered: fields.ordered.default(false),
    concurrency: fields.concurrency.default(5),
    secret: webhookSecret.optional().describe("made where it is not given"),
  })
  .meta({ id: "NewDestination" });
export type NewDestination = z.output<typeof newDestination>;

export const changedDestination = z
  .strictObject({ ...fields, isPaused: z.boolean() })
  .partial()
  .meta({ id: "ChangedDestination" });
export type ChangedDestination = z.output<typeof changedDestination>;

/** What may be told of a destination: everything but its secrets. */
export const destination = z
  .object({
    id: z.string(),
    ...fields,
    url: z.string(),
    createdAt: z.string(),
    secretCount: z.int().describe("2 while a rotation of the secret overlaps"),
    paused: z.enum(["by hand", "failing", "gone"]).nullable().describe("why it is paused; outcomes wait for it then"),
    circuitOpenUntil: z.string().nullable().describe("after failures in a row nothing is sent until then"),
    failingSince: z.string().nullable(),
    lastDeliveredAt: z.string().nullable(),
    lastFailure: z.string().nullable(),
    waiting: z.int().describe("deliveries that are to come"),
    deadLetters: z.int().describe("deliveries that were given up"),
  })
  .meta({ id: "Destination" });
export type DestinationView = z.output<typeof destination>;

function isPushable(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return ["http:", "https:"].includes(protocol) && username === "" && password === "";
}

function isSecret(text: string): boolean {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  if (encoded === undefined) return false;
  const { length } = Buffer.from(encoded, "base64");
  return length >= 24 && length <= 64;
}
