import { z } from "zod";

/** What can be made to go wrong. Each can be changed at any time. */
export const faults = z.strictObject({
  /** Times that each delivery is sent. */
  duplicate: z.int().min(1),
  /** Deliveries are held back until there are this many, and then sent in random order. 1 sends them as they come. */
  reorder: z.int().min(1),
  /** The next two deliveries are sent in the other order. Resets itself. */
  swapNext: z.boolean(),
  /** Probability that a delivery is never sent. */
  drop: z.number().min(0).max(1),
  /** The next deliveries, this many, are never sent. Counts itself down. */
  dropNext: z.int().min(0),
  /** Each delivery is held back for a random time between these two, in ms of the simulator's schedule. */
  delayMinMs: z.number().min(0),
  delayMaxMs: z.number().min(0),
  /** Whether a retry is signed with the time of the first try or with its own. Calendly does not say. */
  signatureTimeOnRetry: z.enum(["frozen", "renewed"]),
  /** How far the clock that deliveries are signed by is ahead, in ms; below 0 behind. */
  signatureClockSkewMs: z.number(),
  /** Real time that every answer of the API takes longer, in ms. */
  apiLatencyMs: z.number().min(0),
  /** How far the time in the API's answers is ahead, in ms; below 0 behind. */
  apiClockSkewMs: z.number(),
  /** Whether events that start at the very `min_start_time`, or `max_start_time`, are listed. Calendly does not say. */
  minStartTime: z.enum(["included", "excluded"]),
  maxStartTime: z.enum(["included", "excluded"]),
  /** What the API answers: rightly, 503, or 200 with an unreadable body. */
  api: z.enum(["well", "down", "garbage"]),
});
export const faultsChange = faults.partial();

export type Faults = z.output<typeof faults>;

export const NO_FAULTS: Readonly<Faults> = {
  duplicate: 1,
  reorder: 1,
  swapNext: false,
  drop: 0,
  dropNext: 0,
  delayMinMs: 0,
  delayMaxMs: 0,
  signatureTimeOnRetry: "renewed",
  signatureClockSkewMs: 0,
  apiLatencyMs: 0,
  apiClockSkewMs: 0,
  minStartTime: "included",
  maxStartTime: "excluded",
  api: "well",
};
