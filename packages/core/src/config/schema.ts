import { consumerTokens } from "./consumer-tokens.ts";
import {
  flag,
  hostsOrRanges,
  instant,
  listOf,
  names,
  oneOf,
  path,
  port,
  redisUrl,
  secret,
  text,
  url,
  wholeNumber,
} from "./kinds.ts";
import type { Variable } from "./variable.ts";

/** What Calendly lets one subscribe to (https://developer.calendly.com, webhook subscriptions). */
export const SUBSCRIBABLE_EVENTS = [
  "invitee.created",
  "invitee.canceled",
  "invitee_no_show.created",
  "invitee_no_show.deleted",
  "routing_form_submission.created",
  "event_type.created",
  "event_type.updated",
  "event_type.deleted",
] as const;

/** The guide speaks of it, and Calendly refuses it: asked for, the two halves of it are subscribed to. */
const RESCHEDULED = "invitee.rescheduled";

/** Safety rules for Redis that can be waived by name, see redis/safety.ts. */
export const UNSAFE_REDIS = ["eviction", "persistence", "replica", "version"] as const;

/**
 * Every environment variable of the project. The order is that of `.env.example` and of the README's table, both of
 * which are generated from here.
 */
export const variables = {
  CALENDLY_API_TOKEN: {
    ...secret,
    secret: true,
    requiredBy: ["worker"],
    description: "Primary Calendly API token.",
  },
  CALENDLY_API_TOKEN_SECONDARY: {
    ...secret,
    secret: true,
    description: "Secondary Calendly API token, used when Calendly takes the primary one no more.",
  },
  CALENDLY_WEBHOOK_SIGNING_KEY: {
    ...secret,
    secret: true,
    requiredBy: ["ingest"],
    description: "Key that Calendly signs deliveries with. Make one with `openssl rand -hex 32`.",
  },
  CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: {
    ...secret,
    secret: true,
    description: "Second accepted signing key, for rotation.",
  },
  CALENDLY_ENABLE_CACHING: {
    ...flag,
    default: "true",
    description: "Remember what Calendly's API says of event types.",
  },
  CALENDLY_CACHE_TTL: {
    ...wholeNumber(1),
    default: "300",
    unit: "s",
    description: "How long it is remembered.",
  },
  CALENDLY_CACHE_MAX_ENTRIES: {
    ...wholeNumber(1),
    default: "1000",
    unit: "entries",
    description: "How many answers one process keeps in memory.",
  },
  CALENDLY_CACHE_GRACE: {
    ...wholeNumber(0),
    default: "86400",
    unit: "s",
    description: "How much longer a remembered answer is served while Calendly's API fails.",
  },
  CALENDLY_KEY_ROTATION_MONITORING: {
    ...flag,
    default: "true",
    description: "Watch tokens and signing keys and say when to rotate them.",
  },
  CALENDLY_KEY_ROTATION_CHECK_INTERVAL: {
    ...wholeNumber(1_000),
    default: "3600000",
    unit: "ms",
    description: "Time between two checks of tokens and signing keys.",
  },
  CALENDLY_MAX_USAGE_PER_KEY: {
    ...wholeNumber(1),
    default: "10000",
    unit: "requests",
    description: "Requests with one token after which its rotation is recommended.",
  },
  CALENDLY_WEBHOOK_REPLAY_PROTECTION_WINDOW: {
    ...wholeNumber(1, 86_400),
    default: "300",
    unit: "s",
    description: "How far a delivery's signature time may lie in the past or in the future.",
  },
  CALENDLY_WEBHOOK_BASE_URL: {
    ...url("https", "http"),
    description:
      "Public address that Calendly reaches the ingest under, for example https://hooks.example.com. Without it nobody looks at the webhook subscription.",
  },
  CALENDLY_WEBHOOK_ENDPOINT_PREFIX: {
    ...path,
    default: "/api/webhooks/calendly",
    description: "Path of the webhook endpoint.",
  },
  CALENDLY_API_BASE_URL: {
    ...url("https", "http"),
    default: "https://api.calendly.com",
    description: "Base address of Calendly's API.",
  },
  CALENDLY_DEDUPLICATION_TTL: {
    ...wholeNumber(86_400, 31_536_000),
    default: "259200",
    unit: "s",
    description: "How long a delivered fact is remembered. Calendly retries for 86400 s, so less than that is refused.",
  },
  CALENDLY_WEBHOOK_LATE_DELIVERIES: {
    ...oneOf(["refuse", "defer"]),
    default: "refuse",
    description:
      "Answer to a genuine delivery older than the window: refuse (401) or defer (200). Kept as a hint either way.",
  },
  CALENDLY_ORGANIZATION: {
    ...url("https", "http"),
    description: "URI of the organization to subscribe for, where it is not that of the token's user.",
  },
  CALENDLY_WEBHOOK_SCOPE: {
    ...oneOf(["organization", "user"]),
    default: "organization",
    description: "Scope of the webhook subscription.",
  },
  CALENDLY_WEBHOOK_EVENTS: {
    ...listOf([...SUBSCRIBABLE_EVENTS, RESCHEDULED]),
    default: SUBSCRIBABLE_EVENTS.join(","),
    description: "Events to subscribe to.",
  },
  // Not longer than the alert CalendlyGuardianStopped waits for a look.
  CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: {
    ...wholeNumber(0, 3_600),
    default: "300",
    unit: "s",
    description: "Time between two looks at the webhook subscription; 0 looks never, and judges no silence.",
  },
  CALENDLY_SUBSCRIPTION_AUTOHEAL: {
    ...flag,
    default: "false",
    description:
      "Make a webhook subscription anew that is disabled or missing. Needs the signing key and the public address in the worker's environment too.",
  },
  CALENDLY_SILENCE_THRESHOLD: {
    ...wholeNumber(1),
    default: "3600",
    unit: "s",
    description: "Time without a verified delivery after which it is an alarm if Calendly's API knows of newer facts.",
  },
  CALENDLY_LATE_FETCHES: {
    ...wholeNumber(1, 100_000),
    default: "60",
    unit: "requests/min",
    description: "Late deliveries that Calendly's API is asked about per minute, in each shard. The others wait.",
  },
  CALENDLY_PUBLISH_FROM: {
    ...instant,
    description:
      "What happened before at Calendly is history: known, but told to nobody unless Calendly delivers it. By default when this Redis was first used.",
  },
  CALENDLY_RECONCILE_NEAR_DAYS: {
    ...wholeNumber(1, 365),
    default: "14",
    unit: "days",
    description: "Events that begin within these are compared with Calendly's API often.",
  },
  CALENDLY_RECONCILE_NEAR_INTERVAL: {
    ...wholeNumber(0, 604_800),
    default: "900",
    unit: "s",
    description: "Time between two comparisons of these; 0 compares never.",
  },
  CALENDLY_RECONCILE_FAR_INTERVAL: {
    ...wholeNumber(0, 604_800),
    default: "21600",
    unit: "s",
    description: "Time between two comparisons of all later events; 0 compares never.",
  },
  CALENDLY_RECONCILE_PAST_DAYS: {
    ...wholeNumber(1, 90),
    default: "7",
    unit: "days",
    description: "Events that began within these are compared seldom, and read once more a day after their end.",
  },
  CALENDLY_RECONCILE_PAST_INTERVAL: {
    ...wholeNumber(0, 604_800),
    default: "21600",
    unit: "s",
    description: "Time between two comparisons of these; 0 compares never.",
  },
  CALENDLY_RECONCILE_GRACE: {
    ...wholeNumber(0, 3_600),
    default: "300",
    unit: "s",
    description: "What changed within this time is left to its delivery.",
  },
  CALENDLY_EVENT_TYPES: {
    ...names,
    description: "Event types to handle, by URI or id, separated by commas. All others are acknowledged and dropped.",
  },
  CALENDLY_EVENT_TYPES_EXCLUDE: {
    ...names,
    description: "Event types not to handle, by URI or id, separated by commas.",
  },
  CALENDLY_REFERENCE_FIELD: {
    ...oneOf(["utm_campaign", "utm_source", "utm_medium", "utm_content", "utm_term", "salesforce_uuid"]),
    default: "utm_content",
    description: "Tracking field of a booking link that becomes the booking's reference.",
  },
  CALENDLY_MISSING_HALF_GRACE: {
    ...wholeNumber(0, 3_600),
    default: "30",
    unit: "s",
    description:
      "Time that the new half of a reschedule is given to be delivered before Calendly's API is asked for it.",
  },
  CALENDLY_CONFERENCE_LINK_INTERVAL: {
    ...wholeNumber(1, 3_600),
    default: "30",
    unit: "s",
    description: "First wait before a conference link that was not ready is asked for; it doubles up to 3600 s.",
  },
  CALENDLY_BOOKING_RETENTION_DAYS: {
    ...wholeNumber(7, 3_650),
    default: "90",
    unit: "days",
    description: "How long a booking is kept after its event's end; outcomes and quarantine after they came.",
  },
  CALENDLY_OUTCOMES_MAX_AGE: {
    ...wholeNumber(1, 7_300),
    default: "180",
    unit: "days",
    description:
      "How long outcomes are kept that a consumer group has not acknowledged, with a notice at half of it, or that wait for a destination.",
  },
  CALENDLY_CONSUMER_TOKENS: {
    ...consumerTokens,
    secret: true,
    description:
      "Bearer tokens that may read bookings, outcomes and how expectations ended: name and token, and the event types that it is limited to, if any.",
  },
  CALENDLY_DESTINATION_ALLOW: {
    ...hostsOrRanges,
    description:
      "Loopback, private and link-local targets that outcomes may be pushed to: host names, *.patterns of them, or ranges of addresses.",
  },
  CALENDLY_SHARDS: {
    ...wholeNumber(1, 1_024),
    default: "1",
    unit: "shards",
    description: "Parts that queues, bookings and outcomes are split into. Fixed for the life of a deployment.",
  },
  REDIS_URL: {
    ...redisUrl,
    default: "redis://127.0.0.1:6379",
    secret: true,
    description:
      "Redis 7.0 or newer, or Valkey 8 or newer, with user, password and database where needed; or the Sentinels that know it, or nodes of a cluster.",
  },
  REDIS_ALLOW_UNSAFE: {
    ...listOf(UNSAFE_REDIS),
    description:
      "Safety rules for Redis to waive, by name. Each one waived can lose deliveries, and sets off no alert.",
  },
  REDIS_WAIT_REPLICAS: {
    ...wholeNumber(0, 10),
    default: "0",
    unit: "replicas",
    description:
      "Replicas that must have a delivery before it is acknowledged, so that a fail-over loses none. With fewer the answer is 503. In a cluster a job that writes to other primaries waits likewise.",
  },
  INGEST_HOST: { ...text, default: "0.0.0.0", description: "Address that the ingest listens on." },
  INGEST_PORT: { ...port, default: "3000", description: "Port of the webhook endpoint and its health." },
  INGEST_METRICS_HOST: {
    ...text,
    default: "127.0.0.1",
    description: "Address that the ingest tells its metrics at. It is not meant for the world.",
  },
  INGEST_METRICS_PORT: { ...port, default: "9464", description: "Port of the ingest's metrics." },
  WORKER_HOST: {
    ...text,
    default: "127.0.0.1",
    description: "Address that the worker's internal face listens on. It is not meant for the world.",
  },
  WORKER_PORT: { ...port, default: "3001", description: "Port of the worker's internal face." },
  WORKER_CONCURRENCY: {
    ...wholeNumber(1, 1_000),
    default: "10",
    unit: "jobs",
    description: "Jobs that one worker process handles at once, per queue and shard.",
  },
  WORKER_JOB_LOCK_DURATION: {
    ...wholeNumber(1_000, 600_000),
    default: "30000",
    unit: "ms",
    description: "Time after which a job whose worker went silent may be taken by another.",
  },
  WORKER_STALLED_CHECK_INTERVAL: {
    ...wholeNumber(500, 600_000),
    default: "30000",
    unit: "ms",
    description: "Time between two searches for jobs whose worker went silent.",
  },
  WORKER_HEARTBEAT_INTERVAL: {
    // Nearly twice as long may pass between two where workers take turns, and an alert counts five minutes without one.
    ...wholeNumber(100, 120_000),
    default: "30000",
    unit: "ms",
    description: "Time between two heartbeats, jobs that prove that a queue is worked on.",
  },
  WORKER_DEAF_AFTER: {
    ...wholeNumber(1_000, 3_600_000),
    default: "60000",
    unit: "ms",
    description:
      "Time without beginning a job, while one waits, a place is free and Redis answers others, after which a worker takes itself for deaf and ends, to be replaced.",
  },
  SHUTDOWN_DELAY: {
    ...wholeNumber(0, 600),
    default: "0",
    unit: "s",
    description:
      "Time after the signal to stop in which an ingest is not ready any more and still takes deliveries, for a proxy to find out before connections are refused.",
  },
  SHUTDOWN_DEADLINE: {
    ...wholeNumber(1, 3_600),
    default: "20",
    unit: "s",
    description: "Time that work in flight is given at a stop. Your orchestrator's grace period must be longer.",
  },
  OPS_API_TOKEN: {
    ...secret,
    secret: true,
    description:
      "Token that may do everything on the worker's internal face: the overview and the queue dashboard, with any user name and this as the password; the API and the details of its health.",
  },
  OPS_DASHBOARD_WRITABLE: {
    ...flag,
    default: "false",
    description: "Let the queue dashboard retry and promote jobs, and pause and resume queues.",
  },
  METRICS_TOKEN: {
    ...secret,
    secret: true,
    description:
      "Bearer token that may read the metrics of the ingest and the worker, whether all is well, and nothing else.",
  },
  DD_TRACE_ENABLED: {
    ...flag,
    default: "false",
    description: "Trace deliveries, jobs, API calls and commits with Datadog. Its other DD_ variables are its own.",
  },
  LOG_FORMAT: {
    ...oneOf(["auto", "json", "pretty"]),
    default: "auto",
    description: "How log lines look: JSON, or for people; auto is for people where the output is a terminal.",
  },
  LOG_LEVEL: {
    ...oneOf(["trace", "debug", "info", "warn", "error", "fatal", "silent"]),
    default: "info",
    description: "Lowest level that is logged.",
  },
} as const satisfies Record<string, Variable>;

export type VariableName = keyof typeof variables;
