import { z } from "zod";
import { ORIGINS } from "../bookings/facts.ts";
import type { Shard, Shards } from "../redis/keys.ts";
import { type DataOf, defineQueue, type QueueContract } from "./contract.ts";

/** Parts of the calendar by the events' start: the next days, all later ones, the last days. */
export const BANDS = ["near", "far", "past"] as const;
export type Band = (typeof BANDS)[number];

const HOUR = 3_600;
const DAY = 24 * HOUR;

/** Of a job whose id must be free again as soon as it has ended: BullMQ ignores one under an id that it still holds. */
const NOTHING = { age: 0, count: 0 };

/** What Calendly has delivered is tried for three quarters of an hour, and kept where it fails for good. */
const DELIVERED = {
  attempts: 20,
  retry: { firstDelayMs: 1_000, longestDelayMs: 300_000, jitter: 0.5 },
  keepCompleted: { age: HOUR, count: 5_000 },
  keepFailed: { age: 30 * DAY },
};

/** What is asked of Calendly is tried for about twenty minutes. */
const ASKING = {
  attempts: 12,
  retry: { firstDelayMs: 2_000, longestDelayMs: 300_000, jitter: 0.5 },
  keepCompleted: NOTHING,
  keepFailed: NOTHING,
};

/** What a text says; where it is no JSON, the text, which is no delivery either. */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Verified deliveries on their way to their bookings. Jobs are named after what happened, one queue a shard. */
export const deliveries = defineQueue({
  name: "deliveries",
  data: z.object({
    identity: z.string(),
    /**
     * The verified bytes: as text where it is written, which the release before demands; what they say as JSON, which the
     * next one may write, where it is read.
     */
    body: z.unknown().transform((body) => (typeof body === "string" ? jsonIn(body) : body)),
    receivedAt: z.iso.datetime(),
    /** Absent where Calendly's API said it, and not a delivery. */
    signedWith: z.enum(["primary", "secondary"]).optional(),
    /** Key generation that the callback URL named, where it named one. */
    generation: z.string().optional(),
    origin: z.enum(ORIGINS),
    /** Of what is replayed: its id in quarantine, which it leaves when it is taken up. */
    quarantined: z.string().optional(),
    /** Of what Calendly's API said: the fact that was delivered, but late, and is why it was asked. */
    deliveredLate: z.string().optional(),
  }),
  identity: (job) => job.identity,
  ...DELIVERED,
});

/**
 * Hints of genuine deliveries that came too late to be trusted: which fact to ask Calendly's API for, and nothing of
 * what the delivery said.
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
  ...DELIVERED,
});

/**
 * Invitees that somebody names and nobody has told of: to be asked for at Calendly. In vain for as long, or told of and not
 * taken up, means that the booking is listed as incomplete; looking after the unfinished asks again.
 */
export const missingHalves = defineQueue({
  name: "missing-halves",
  data: z.object({
    inviteeUri: z.string(),
    /** Whether somebody who came after is known: the invitee is in the past then, and Calendly must know it. */
    isPassed: z.boolean(),
  }),
  identity: (job) => job.inviteeUri,
  ...ASKING,
});

/** Bookings whose conference link was not there yet: to be asked for again and again, until the event's end. */
export const conferenceLinks = defineQueue({
  name: "conference-links",
  data: z.object({ bookingId: z.string(), inviteeUri: z.string() }),
  identity: (job) => job.inviteeUri,
  ...ASKING,
});

/**
 * Comparisons of a range of events with what Calendly's API says, one at a time in the fleet. A band's range follows from
 * the settings; another run has a range and a name of its own. History is told by one that is asked for.
 */
export const sweeps = defineQueue({
  name: "sweeps",
  data: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("band"), band: z.enum(BANDS) }),
    z.object({
      kind: z.literal("range"),
      name: z.string(),
      from: z.iso.datetime().nullable(),
      to: z.iso.datetime().nullable(),
      graceMs: z.int().min(0),
      isDryRun: z.boolean(),
    }),
    z.object({ kind: z.literal("history"), name: z.string() }),
  ]),
  identity: (job) => (job.kind === "band" ? job.band : `${job.kind}/${job.name}`),
  ...ASKING,
  attempts: 50,
});

/**
 * How long the comparison of a dark time is kept where it fails for good. A band's next one makes up for one that failed;
 * this one's range is asked for once, so it must be there for a person to have tried again.
 */
export const KEPT_AFTER_DARK = { age: 30 * DAY };

/** How long a queue's failed jobs are kept at most, in seconds: a comparison may be told another time than its contract's. */
export function keepFailedAtMost({ name, keepFailed }: Pick<QueueContract, "name" | "keepFailed">): number {
  return name === sweeps.name ? Math.max(keepFailed.age, KEPT_AFTER_DARK.age) : keepFailed.age;
}

/** What is done again and again, whatever is delivered. Jobs are named after the task. */
export const maintenance = defineQueue({
  name: "maintenance",
  data: z.object({}),
  identity: () => "maintenance",
  attempts: 3,
  retry: { firstDelayMs: 1_000, longestDelayMs: 10_000, jitter: 0.5 },
  keepCompleted: { age: DAY, count: 100 },
  keepFailed: { age: 7 * DAY, count: 1_000 },
});

/** Those that each shard has, and those that only the first one has. */
export const QUEUES_OF_A_SHARD = [deliveries, lateDeliveries, missingHalves, conferenceLinks] as const;
export const QUEUES_OF_THE_FIRST = [sweeps, maintenance] as const;

/** Every queue but those of destinations, with its shard. */
export function allQueues(shards: Shards): { readonly contract: QueueContract; readonly shard: Shard }[] {
  return [
    ...QUEUES_OF_A_SHARD.flatMap((contract) => shards.all.map((shard) => ({ contract, shard }))),
    ...QUEUES_OF_THE_FIRST.map((contract) => ({ contract, shard: shards.first })),
  ];
}

/**
 * Outcomes on their way to a destination, one queue each, so that none waits for another. A job says which outcome; what
 * it carries is read when it is pushed. It is tried for about three days, longer where many wait, and is then a dead letter.
 */
export const pushesTo = (destinationId: string) =>
  defineQueue({
    name: `push-${destinationId}`,
    family: "push",
    data: z.object({
      destinationId: z.string(),
      shard: z.int(),
      streamId: z.string(),
      /** Of the outcome. */
      id: z.string(),
      type: z.string(),
      subject: z.string(),
    }),
    identity: (job) => pushJobId(job),
    attempts: 25,
    retry: { firstDelayMs: 5_000, longestDelayMs: 6 * HOUR * 1_000, jitter: 0.2 },
    keepCompleted: { age: HOUR, count: 1_000 },
    keepFailed: { age: 30 * DAY },
  });
export type PushJob = DataOf<ReturnType<typeof pushesTo>>;

/** Which outcome a job of that id pushes: the index of its shard, and its id in the stream. */
export function outcomeOfPushJob(id: string): { readonly shard: number; readonly streamId: string } {
  const [ms, sequence, shard] = id.split("-").map(Number);
  return { shard: shard ?? 0, streamId: `${ms ?? 0}-${sequence ?? 0}` };
}

/** Compares as the outcomes were published. */
function pushJobId({ streamId, shard }: { readonly streamId: string; readonly shard: number }): string {
  const [ms = "", sequence = ""] = streamId.split("-");
  return `${ms.padStart(14, "0")}-${sequence.padStart(10, "0")}-${shard}`;
}
