import { z } from "zod";
import { booking, OUTCOME_TYPES } from "../bookings/outcome-data.ts";
import { changedDestination, destination, newDestination } from "../outcomes/destination.ts";
import { outcomeEvent } from "../outcomes/outcome-event.ts";
import { defineRoute } from "./route.ts";

const nothing = z.object({});
const noBody = z.undefined();
const limit = (most: number, fallback: number) =>
  z.coerce
    .number()
    .int()
    .min(1)
    .max(most)
    .default(fallback)
    .meta({ description: `How many at most; 1 to ${most}.` });
const time = z.iso.datetime({ offset: true });
const types = z
  .string()
  .transform((list) => list.split(",").map((type) => type.trim()))
  .pipe(z.array(z.enum(OUTCOME_TYPES)))
  .optional()
  .meta({ description: `Types of outcomes, separated by commas: ${OUTCOME_TYPES.join(", ")}. By default all.` });
const after = z
  .string()
  .optional()
  .meta({ description: "A cursor as it was given with what was read before. By default the oldest outcome left." });

const loggedOutcome = z
  .object({
    id: z.string(),
    type: z.enum(OUTCOME_TYPES),
    isTold: z.boolean().describe("false where it is history: known, and told to nobody"),
  })
  .meta({ id: "LoggedOutcome" });

export const expectation = z
  .object({
    reference: z.string(),
    until: z.string().describe("UTC, ISO 8601"),
    announcedAt: z.string(),
    state: z.enum(["waiting", "completed", "expired"]),
    bookingId: z.string().nullable().describe("of the booking that completed it; also of one that came too late"),
    settledAt: z.string().nullable().describe("when it was completed or expired"),
  })
  .meta({ id: "Expectation" });
export type Expectation = z.output<typeof expectation>;

const byId = z.object({ id: z.string().min(1) });

const listBookings = defineRoute({
  operationId: "listBookings",
  method: "get",
  path: "/api/bookings",
  tag: "Bookings",
  summary: "Bookings by their start",
  description:
    "Filters add up. A page may hold fewer bookings than asked for, even none, while there is more: go on until `next` is null.",
  access: "read",
  params: nothing,
  query: z.object({
    status: z.enum(["active", "canceled"]).optional().meta({ description: "`active` or `canceled`." }),
    host: z.string().min(1).optional().meta({ description: "URI or id of a user at Calendly." }),
    eventType: z.string().min(1).optional().meta({ description: "URI or id." }),
    email: z.string().min(3).optional().meta({ description: "The invitee's e-mail address." }),
    reference: z
      .string()
      .min(1)
      .optional()
      .meta({ description: "The tracking field that `CALENDLY_REFERENCE_FIELD` names." }),
    from: time.optional().meta({ description: "Events that start then or later." }),
    to: time.optional().meta({ description: "Events that start before." }),
    limit: limit(100, 50),
    after: z.string().optional().meta({ description: "The `next` of the page before, with the same filters." }),
  }),
  body: noBody,
  answer: {
    status: 200,
    description: "A page of bookings.",
    schema: z.object({ bookings: z.array(booking), next: z.string().nullable() }).meta({ id: "BookingPage" }),
  },
  problems: ["cursor_invalid"],
});

const getBooking = defineRoute({
  operationId: "getBooking",
  method: "get",
  path: "/api/bookings/{id}",
  tag: "Bookings",
  summary: "One booking with its log",
  access: "read",
  params: z.object({ id: z.string().min(1).meta({ description: "Of the booking, or of any invitee of it." }) }),
  query: nothing,
  body: noBody,
  answer: {
    status: 200,
    description: "The booking as it is known now, and the outcomes that it has had.",
    schema: z.object({ booking, log: z.array(loggedOutcome) }).meta({ id: "BookingWithLog" }),
  },
  problems: ["not_found"],
});

const listOutcomes = defineRoute({
  operationId: "listOutcomes",
  method: "get",
  path: "/api/outcomes",
  tag: "Outcomes",
  summary: "Outcomes after a cursor, in order",
  description:
    "Keep `next` once you have handled the page, and ask again with it: at once while `hasMore`, else after a while. Order is promised per booking.",
  access: "read",
  params: nothing,
  query: z.object({ after, type: types, limit: limit(500, 100) }),
  body: noBody,
  answer: {
    status: 200,
    description: "The outcomes, and where you are after them.",
    schema: z
      .object({ outcomes: z.array(outcomeEvent), next: z.string(), hasMore: z.boolean() })
      .meta({ id: "OutcomePage" }),
  },
  problems: ["cursor_invalid", "cursor_expired"],
});

const streamOutcomes = defineRoute({
  operationId: "streamOutcomes",
  method: "get",
  path: "/api/outcomes/stream",
  tag: "Outcomes",
  summary: "Outcomes as they are published, as server-sent events",
  description:
    "Each event's `id` is a cursor, its `event` the outcome's type, its `data` the outcome. A client that reconnects with `Last-Event-ID` goes on after it. Without that and `after` the stream begins now. At the beginning, and then every 15 s, an event `cursor` says where you are; a client that takes nothing for 30 s is cut off.",
  access: "read",
  params: nothing,
  query: z.object({
    after: after.meta({ description: "Like Last-Event-ID, which comes first. By default now." }),
    type: types,
  }),
  body: noBody,
  answer: { status: 200, description: "Server-sent events.", schema: z.string() },
  mediaType: "text/event-stream",
  problems: ["cursor_invalid", "cursor_expired", "too_many_streams"],
});

const announceExpectation = defineRoute({
  operationId: "announceExpectation",
  method: "post",
  path: "/api/expectations",
  tag: "Expectations",
  summary: "Announce a booking that somebody has started",
  description:
    "The booking with that reference completes it, whether it comes before or after. Where none has come by `until`, `booking.expectation_expired` is published. Announcing again changes nothing but `until`, while it waits. A reference must be nobody's data: it stands in ids of outcomes, and so in logs.",
  access: "manage",
  params: nothing,
  query: nothing,
  body: z.object({ reference: z.string().min(1).max(200), until: time }).meta({ id: "NewExpectation" }),
  answer: { status: 200, description: "The expectation as it is now.", schema: expectation },
  problems: [],
});

const getExpectation = defineRoute({
  operationId: "getExpectation",
  method: "get",
  path: "/api/expectations/{reference}",
  tag: "Expectations",
  summary: "One expectation",
  access: "read",
  params: z.object({ reference: z.string().min(1) }),
  query: nothing,
  body: noBody,
  answer: { status: 200, description: "The expectation.", schema: expectation },
  problems: ["not_found"],
});

const secretOnce = destination.extend({ secret: z.string().describe("shown here and never again") });

const listDestinations = defineRoute({
  operationId: "listDestinations",
  method: "get",
  path: "/api/destinations",
  tag: "Destinations",
  summary: "Where outcomes are pushed to, and how that goes",
  access: "manage",
  params: nothing,
  query: nothing,
  body: noBody,
  answer: {
    status: 200,
    description: "All destinations.",
    schema: z.object({ destinations: z.array(destination) }).meta({ id: "DestinationList" }),
  },
  problems: [],
});

const addDestination = defineRoute({
  operationId: "addDestination",
  method: "post",
  path: "/api/destinations",
  tag: "Destinations",
  summary: "Push outcomes to a URL from now on",
  access: "manage",
  params: nothing,
  query: nothing,
  body: newDestination,
  answer: {
    status: 201,
    description: "The destination, with the secret that its deliveries are signed with.",
    schema: secretOnce.meta({ id: "DestinationWithSecret" }),
  },
  problems: ["target_refused"],
});

const getDestination = defineRoute({
  operationId: "getDestination",
  method: "get",
  path: "/api/destinations/{id}",
  tag: "Destinations",
  summary: "One destination",
  access: "manage",
  params: byId,
  query: nothing,
  body: noBody,
  answer: { status: 200, description: "The destination.", schema: destination },
  problems: ["not_found"],
});

const changeDestination = defineRoute({
  operationId: "changeDestination",
  method: "patch",
  path: "/api/destinations/{id}",
  tag: "Destinations",
  summary: "Change a destination, pause it or let it go on",
  description: "What is not given stays as it is; null takes a filter away. While it is paused, outcomes wait for it.",
  access: "manage",
  params: byId,
  query: nothing,
  body: changedDestination,
  answer: { status: 200, description: "The destination as it is now.", schema: destination },
  problems: ["not_found", "target_refused"],
});

const removeDestination = defineRoute({
  operationId: "removeDestination",
  method: "delete",
  path: "/api/destinations/{id}",
  tag: "Destinations",
  summary: "Push nothing there any more, and forget what waits for it",
  access: "manage",
  params: byId,
  query: nothing,
  body: noBody,
  answer: { status: 200, description: "It is gone.", schema: z.object({ removed: z.string() }) },
  problems: ["not_found"],
});

const rotateSecret = defineRoute({
  operationId: "rotateDestinationSecret",
  method: "post",
  path: "/api/destinations/{id}/secret",
  tag: "Destinations",
  summary: "Give a destination a new secret",
  description: "For `overlapSeconds` deliveries are signed with the old one too, so that nothing is refused meanwhile.",
  access: "manage",
  params: byId,
  query: nothing,
  body: z
    .object({ overlapSeconds: z.int().min(0).max(2_592_000).default(86_400) })
    .default({ overlapSeconds: 86_400 })
    .meta({ id: "SecretRotation" }),
  answer: { status: 200, description: "The new secret.", schema: secretOnce.meta({ id: "DestinationWithNewSecret" }) },
  problems: ["not_found"],
});

const deadLetter = z
  .object({
    id: z.string().describe("of the outcome; also the webhook-id"),
    job: z.string(),
    type: z.string(),
    subject: z.string(),
    reason: z.string(),
    attempts: z.int(),
    failedAt: z.string().nullable(),
  })
  .meta({ id: "DeadLetter" });

const listDeadLetters = defineRoute({
  operationId: "listDeadLetters",
  method: "get",
  path: "/api/destinations/{id}/dead-letters",
  tag: "Destinations",
  summary: "Outcomes that a destination would not take",
  access: "manage",
  params: byId,
  query: nothing,
  body: noBody,
  answer: {
    status: 200,
    description: "The dead letters, the newest first, 1,000 at most.",
    schema: z.object({ deadLetters: z.array(deadLetter) }).meta({ id: "DeadLetterList" }),
  },
  problems: ["not_found"],
});

const redeliver = defineRoute({
  operationId: "redeliver",
  method: "post",
  path: "/api/destinations/{id}/redeliveries",
  tag: "Destinations",
  summary: "Push dead letters again, one or all",
  access: "manage",
  params: byId,
  query: nothing,
  body: z
    .object({
      outcomes: z.array(z.string()).optional().describe("ids of outcomes; all where it is not given"),
      dryRun: z.boolean().default(false).describe("only say what would be pushed"),
    })
    .meta({ id: "Redelivery" }),
  answer: {
    status: 202,
    description: "What is pushed again.",
    schema: z.object({ redelivered: z.array(z.string()), dryRun: z.boolean() }),
  },
  problems: ["not_found"],
});

/** Every route of the worker's internal face that is for programs. */
export const routes = {
  listBookings,
  getBooking,
  listOutcomes,
  streamOutcomes,
  announceExpectation,
  getExpectation,
  listDestinations,
  addDestination,
  getDestination,
  changeDestination,
  removeDestination,
  rotateSecret,
  listDeadLetters,
  redeliver,
} as const;
