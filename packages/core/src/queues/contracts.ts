import { z } from "zod";
import { ORIGINS } from "../bookings/facts.ts";
import { defineQueue } from "./contract.ts";

const HOUR = 3_600;
const DAY = 24 * HOUR;

/** Verified deliveries on their way to their bookings. Jobs are named after what happened, one queue a shard. */
export const deliveries = defineQueue({
  name: "deliveries",
  data: z.object({
    identity: z.string(),
    /** The verified bytes as text; the worker reads them again. */
    body: z.string(),
    receivedAt: z.iso.datetime(),
    signedWith: z.enum(["primary", "secondary"]),
    /** Key generation that the callback URL named, where it named one. */
    generation: z.string().optional(),
    origin: z.enum(ORIGINS),
  }),
  identity: (job) => job.identity,
  attempts: 20,
  retry: { firstDelayMs: 1_000, longestDelayMs: 300_000, jitter: 0.5 },
  keepCompleted: { age: HOUR, count: 5_000 },
  keepFailed: { age: 30 * DAY },
});

/**
 * Hints of genuine deliveries that came too late to be trusted: which fact to ask Calendly's API for, and nothing of
 * what the delivery said. Nothing takes them up yet; they are kept.
 */
export const lateDeliveries = defineQueue({
  name: "late-deliveries",
  data: z.object({
    identity: z.string(),
    inviteeUri: z.string(),
    /** The signature's time, unix seconds. */
    signedAt: z.number(),
    receivedAt: z.iso.datetime(),
  }),
  identity: (job) => `late/${job.identity}`,
  attempts: 20,
  retry: { firstDelayMs: 1_000, longestDelayMs: 300_000, jitter: 0.5 },
  keepCompleted: { age: HOUR, count: 5_000 },
  keepFailed: { age: 30 * DAY },
});
