import { OUTCOME_TYPES } from "../bookings/outcome-data.ts";
import { SUBSCRIBABLE_EVENTS } from "../config/schema.ts";

// Every metric of the project. `docs/metrics.md` is made from here, the dashboards and the alert rules are checked against
// it, and whoever measures can name no other.

/** Which values a label can have: a closed list, or what whoever runs the installation has set up. */
export type LabelValues = readonly string[] | keyof typeof OPEN_SETS;

/** What a label can say that is no list in here: few values, none of which comes from a delivery. */
export const OPEN_SETS = {
  queues: "the queues; `push` for those of all destinations",
  jobs: "the names of jobs: events, tasks, types of outcomes",
  bands: "`near`, `far`, `past`",
  groups: "consumer groups",
  destinations: "ids of destinations",
  shards: "numbers from 0 to `CALENDLY_SHARDS` - 1",
  endpoints: "method and path of Calendly's API, with `{id}` in place of ids",
} as const;

export interface MetricSpec {
  readonly kind: "counter" | "gauge" | "histogram";
  /** With the unit as its suffix, as Prometheus has it. */
  readonly name: string;
  readonly help: string;
  /** Who tells it. `fleet`: every worker, and the same of each, as it is read from Redis; take the `max`. */
  readonly by: "ingest" | "worker" | "both" | "fleet";
  readonly labels: Readonly<Record<string, LabelValues>>;
  /** Of a histogram, in the unit of its name. */
  readonly buckets?: readonly number[];
}

const EVENTS = [...SUBSCRIBABLE_EVENTS, "invitee.rescheduled", "unknown", "other"] as const;
const RESULTS = [
  "accepted",
  "duplicate",
  "ignored",
  "out_of_scope",
  "quarantined",
  "deferred",
  "refused",
  "unavailable",
] as const;
const SLOTS = ["primary", "secondary"] as const;
const ORIGINS = ["webhook", "reconcile", "replay"] as const;
const FOLDED = [
  "folded",
  "unchanged",
  "waiting",
  "quarantined",
  "erased",
  "out_of_scope",
  "past_retention",
  "forgotten",
  "failed",
] as const;
const TOKEN_STATES = ["active", "approaching_limit", "expired", "revoked", "invalid", "unknown"] as const;
const PROBLEMS = [
  "missing",
  "disabled",
  "retrying",
  "events_differ",
  "doubled",
  "stray",
  "not_healed",
  "silent",
  "rotation_stalled",
] as const;
const OUTCOMES = [...OUTCOME_TYPES, "other"] as const;

/** Down to what a healthy answer takes, up to where Calendly gives up. */
const ANSWER_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15];
/** With the objective in it: an outcome within 60 s. */
const OUTCOME_BUCKETS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3_600];
const JOB_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const counter = <const S extends Omit<MetricSpec, "kind">>(spec: S) => ({ kind: "counter", ...spec }) as const;
const gauge = <const S extends Omit<MetricSpec, "kind">>(spec: S) => ({ kind: "gauge", ...spec }) as const;
const histogram = <const S extends Omit<MetricSpec, "kind">>(spec: S) => ({ kind: "histogram", ...spec }) as const;

export const METRICS = {
  // What comes in.
  deliveries: counter({
    name: "calendly_deliveries_total",
    help: "Deliveries that were answered, by what they told, how it ended and which signing key verified them.",
    by: "ingest",
    labels: { event: EVENTS, result: RESULTS, key: [...SLOTS, "none"] },
  }),
  signatureFailures: counter({
    name: "calendly_signature_failures_total",
    help: "Deliveries that were refused for their signature.",
    by: "ingest",
    labels: {
      reason: ["signature_missing", "signature_malformed", "signature_mismatch", "timestamp_outside_window"],
    },
  }),
  unreadBodies: counter({
    name: "calendly_unread_bodies_total",
    help: "Deliveries whose bodies were not read to their end: too large, not what was announced, or given up for want of room.",
    by: "ingest",
    labels: { reason: ["too_large", "incomplete", "given_up"] },
  }),
  lateDeliveries: counter({
    name: "calendly_late_deliveries_total",
    help: "Genuine deliveries older than the accepted window.",
    by: "ingest",
    labels: { result: RESULTS },
  }),
  acknowledgement: histogram({
    name: "calendly_acknowledgement_seconds",
    help: "From the head of a delivery to its answer.",
    by: "ingest",
    labels: { result: RESULTS },
    buckets: ANSWER_BUCKETS,
  }),
  lastDelivery: gauge({
    name: "calendly_last_delivery_timestamp_seconds",
    help: "When a delivery was last verified, Unix time; when the installation began where none was yet.",
    by: "fleet",
    labels: {},
  }),

  // What becomes of it.
  facts: counter({
    name: "calendly_facts_total",
    help: "Facts that were looked at, by where they came from and what became of them.",
    by: "worker",
    labels: { origin: ORIGINS, result: FOLDED },
  }),
  outcomes: counter({
    name: "calendly_outcomes_total",
    help: "Outcomes that were published.",
    by: "worker",
    labels: { type: OUTCOMES, origin: ORIGINS },
  }),
  endToEnd: histogram({
    name: "calendly_end_to_end_seconds",
    help: "From Calendly's created_at of a delivered event to its outcome.",
    by: "worker",
    labels: {},
    buckets: OUTCOME_BUCKETS,
  }),
  acknowledgedToOutcome: histogram({
    name: "calendly_acknowledged_to_outcome_seconds",
    help: "From the acknowledgement of a delivery to its outcome.",
    by: "worker",
    labels: {},
    buckets: OUTCOME_BUCKETS,
  }),
  expectations: gauge({
    name: "calendly_expectations",
    help: "Announced bookings by how it stands with them; completed and expired only grow.",
    by: "fleet",
    labels: { state: ["waiting", "completed", "expired"] },
  }),
  conflictsOpen: gauge({
    name: "calendly_conflicts_open",
    help: "Pairs of bookings that take the same time of a host, and are still to come.",
    by: "fleet",
    labels: {},
  }),
  incomplete: gauge({
    name: "calendly_bookings_incomplete",
    help: "Bookings of which a part was asked for in vain.",
    by: "fleet",
    labels: {},
  }),
  quarantined: gauge({
    name: "calendly_quarantined",
    help: "Genuine deliveries that could not be read and wait for a person.",
    by: "fleet",
    labels: {},
  }),

  // Queues and jobs.
  queueJobs: gauge({
    name: "calendly_queue_jobs",
    help: "Jobs by queue and state, over all shards. Failed ones are the dead letters.",
    by: "fleet",
    labels: { queue: "queues", state: ["waiting", "active", "delayed", "failed"] },
  }),
  queueOldestJob: gauge({
    name: "calendly_queue_oldest_job_seconds",
    help: "Age of the oldest job that has not ended, those delayed for a retry or by a rate limit included; 0 where there is none.",
    by: "fleet",
    labels: { queue: "queues" },
  }),
  queuePaused: gauge({
    name: "calendly_queue_paused",
    help: "1 while somebody has paused the queue.",
    by: "fleet",
    labels: { queue: "queues" },
  }),
  heartbeat: gauge({
    name: "calendly_heartbeat_timestamp_seconds",
    help: "When a heartbeat last went through the queue, Unix time; of the shard where that is longest ago.",
    by: "fleet",
    labels: { queue: "queues" },
  }),
  jobs: counter({
    name: "calendly_jobs_total",
    help: "Tries of jobs. `again`: it did what it could for now; `given_up`: it can never work, or was the last try.",
    by: "worker",
    labels: { queue: "queues", job: "jobs", result: ["done", "again", "failed", "given_up"] },
  }),
  jobTime: histogram({
    name: "calendly_job_seconds",
    help: "What a try of a job took.",
    by: "worker",
    labels: { queue: "queues", job: "jobs" },
    buckets: JOB_BUCKETS,
  }),
  jobAttempts: histogram({
    name: "calendly_job_attempts",
    help: "Tries that jobs had taken when they ended for good.",
    by: "worker",
    labels: { queue: "queues", job: "jobs" },
    buckets: [1, 2, 3, 5, 10, 20, 50],
  }),
  deafWorkers: counter({
    name: "calendly_deaf_workers_total",
    help: "Workers that found themselves deaf and ended, to be replaced.",
    by: "fleet",
    labels: {},
  }),
  workers: gauge({
    name: "calendly_instances",
    help: "Live processes.",
    by: "fleet",
    labels: { kind: ["ingest", "worker"] },
  }),

  // Calendly's API.
  apiRequests: counter({
    name: "calendly_api_requests_total",
    help: "Requests to Calendly's API by what was asked for and the answer's status.",
    by: "worker",
    labels: {
      endpoint: "endpoints",
      status: [
        "200",
        "201",
        "204",
        "400",
        "401",
        "403",
        "404",
        "409",
        "429",
        "5xx",
        "timed_out",
        "unreachable",
        "other",
      ],
    },
  }),
  apiTime: histogram({
    name: "calendly_api_request_seconds",
    help: "What requests to Calendly's API took.",
    by: "worker",
    labels: { endpoint: "endpoints" },
    buckets: ANSWER_BUCKETS,
  }),
  apiCircuitOpen: gauge({
    name: "calendly_api_circuit_open",
    help: "1 while this worker hardly asks anything of Calendly's API because it keeps failing.",
    by: "worker",
    labels: {},
  }),
  apiBudgetLimit: gauge({
    name: "calendly_api_budget_limit",
    help: "Requests that Calendly allows in a window; absent before the first answer.",
    by: "fleet",
    labels: {},
  }),
  apiBudgetLeft: gauge({
    name: "calendly_api_budget_left",
    help: "Requests that are left of them.",
    by: "fleet",
    labels: {},
  }),
  cacheReads: counter({
    name: "calendly_cache_reads_total",
    help: "Event types that were looked up: remembered, asked for, or served stale because Calendly's API failed.",
    by: "worker",
    labels: { result: ["hit", "miss", "stale"] },
  }),

  // Keys.
  tokenRequests: gauge({
    name: "calendly_token_requests",
    help: "Requests made with the token in that variable since it was first seen.",
    by: "fleet",
    labels: { slot: SLOTS },
  }),
  tokenUsage: gauge({
    name: "calendly_token_usage_ratio",
    help: "The same as a part of CALENDLY_MAX_USAGE_PER_KEY; 0 while the advice to rotate it is snoozed.",
    by: "fleet",
    labels: { slot: SLOTS },
  }),
  tokenState: gauge({
    name: "calendly_token_state",
    help: "1 for the state that the token is in.",
    by: "fleet",
    labels: { slot: SLOTS, state: TOKEN_STATES },
  }),
  tokenFailedOver: gauge({
    name: "calendly_token_failed_over",
    help: "1 while the secondary token is used because Calendly takes the primary one no more.",
    by: "fleet",
    labels: {},
  }),
  signingKeyVerified: gauge({
    name: "calendly_signing_key_deliveries",
    help: "Deliveries that the signing key in that variable has verified since it was first seen.",
    by: "fleet",
    labels: { slot: SLOTS },
  }),
  signingKeyLastUsed: gauge({
    name: "calendly_signing_key_last_used_timestamp_seconds",
    help: "When it last verified one, Unix time; absent where it never did.",
    by: "fleet",
    labels: { slot: SLOTS },
  }),
  credentialAdvice: gauge({
    name: "calendly_credential_advice",
    help: "Pieces of advice on tokens and signing keys that nobody has followed yet.",
    by: "fleet",
    labels: {},
  }),

  // The subscription.
  subscriptions: gauge({
    name: "calendly_subscriptions",
    help: "Calendly's webhook subscriptions to this installation when the guardian last saw them; absent where it never has.",
    by: "fleet",
    labels: { state: ["active", "disabled"] },
  }),
  subscriptionRetryStart: gauge({
    name: "calendly_subscription_retry_start_timestamp_seconds",
    help: "Since when Calendly repeats a delivery that failed, Unix time; absent where it does not. A day of it disables the subscription.",
    by: "fleet",
    labels: {},
  }),
  subscriptionProblem: gauge({
    name: "calendly_subscription_problem",
    help: "1 for what the guardian finds wrong; what it cannot see is told as it last was.",
    by: "fleet",
    labels: { code: PROBLEMS },
  }),
  subscriptionChecked: gauge({
    name: "calendly_subscription_checked_timestamp_seconds",
    help: "When the guardian last saw the webhook subscriptions, Unix time; the installation's beginning where it never has; absent where it is switched off or has no address to look for.",
    by: "fleet",
    labels: {},
  }),

  // Comparisons with Calendly's API.
  reconciliationEvents: gauge({
    name: "calendly_reconciliation_events",
    help: "Scheduled events that the last comparison has seen.",
    by: "fleet",
    labels: { band: "bands" },
  }),
  reconciliationFacts: gauge({
    name: "calendly_reconciliation_facts",
    help: "Facts about the invitees that it has read, of events that are subscribed to, history left out.",
    by: "fleet",
    labels: { band: "bands" },
  }),
  reconciliationMissed: gauge({
    name: "calendly_reconciliation_missed",
    help: "Those among them that no delivery had told.",
    by: "fleet",
    labels: { band: "bands", event: EVENTS },
  }),
  reconciliationMissedRatio: gauge({
    name: "calendly_reconciliation_missed_ratio",
    help: "Missed facts by all facts, 0 to 1; absent where there was no fact.",
    by: "fleet",
    labels: { band: "bands" },
  }),
  reconciliationLag: gauge({
    name: "calendly_reconciliation_lag_seconds",
    help: "Age of the oldest missed fact when it was found.",
    by: "fleet",
    labels: { band: "bands" },
  }),
  reconciliationPassedOver: gauge({
    name: "calendly_reconciliation_passed_over",
    help: "Events that it has passed over, as their invitees could not be read for good.",
    by: "fleet",
    labels: { band: "bands" },
  }),
  reconciliationEnded: gauge({
    name: "calendly_reconciliation_ended_timestamp_seconds",
    help: "When the last comparison ended, Unix time; the installation's beginning where none has; absent for a band that is never compared.",
    by: "fleet",
    labels: { band: "bands" },
  }),

  // Whoever consumes.
  groupUnread: gauge({
    name: "calendly_outcomes_group_unread",
    help: "Outcomes that a consumer group has not read.",
    by: "fleet",
    labels: { group: "groups", shard: "shards" },
  }),
  groupPending: gauge({
    name: "calendly_outcomes_group_pending",
    help: "Outcomes that a consumer group has read and not acknowledged.",
    by: "fleet",
    labels: { group: "groups", shard: "shards" },
  }),
  groupLag: gauge({
    name: "calendly_outcomes_group_lag_seconds",
    help: "Age of the oldest outcome that a consumer group has not acknowledged; 0 where there is none.",
    by: "fleet",
    labels: { group: "groups", shard: "shards" },
  }),
  groupDeadLetters: gauge({
    name: "calendly_outcomes_group_dead_letters",
    help: "Outcomes that a consumer group has given up.",
    by: "fleet",
    labels: { group: "groups" },
  }),
  pushes: counter({
    name: "calendly_pushes_total",
    help: "Tries to push an outcome to a destination.",
    by: "worker",
    labels: { destination: "destinations", result: ["delivered", "failed", "refused", "gone"] },
  }),
  pushTime: histogram({
    name: "calendly_push_seconds",
    help: "What the requests to a destination took.",
    by: "worker",
    labels: { destination: "destinations" },
    buckets: ANSWER_BUCKETS,
  }),
  destinationFailingSince: gauge({
    name: "calendly_destination_failing_since_timestamp_seconds",
    help: "Since when every push to a destination has failed, Unix time; absent for a healthy one.",
    by: "fleet",
    labels: { destination: "destinations" },
  }),
  destinationWaiting: gauge({
    name: "calendly_destination_waiting",
    help: "Outcomes that wait to be pushed to a destination.",
    by: "fleet",
    labels: { destination: "destinations" },
  }),
  destinationDeadLetters: gauge({
    name: "calendly_destination_dead_letters",
    help: "Outcomes that a destination would not take.",
    by: "fleet",
    labels: { destination: "destinations" },
  }),
  destinationPaused: gauge({
    name: "calendly_destination_paused",
    help: "1 while nothing is pushed to a destination, by hand or because it failed for days.",
    by: "fleet",
    labels: { destination: "destinations" },
  }),

  // What all of it stands on.
  redisFit: gauge({
    name: "calendly_redis_fit",
    help: "1 while Redis takes writes, is safe but for what REDIS_ALLOW_UNSAFE waives, and has memory to spare, as this process sees it.",
    by: "both",
    labels: {},
  }),
  redisMemoryUsed: gauge({
    name: "calendly_redis_memory_used_bytes",
    help: "Memory that Redis uses.",
    by: "fleet",
    labels: {},
  }),
  redisMemoryMax: gauge({
    name: "calendly_redis_memory_max_bytes",
    help: "Memory that Redis may use: its maxmemory, else that of its machine.",
    by: "fleet",
    labels: {},
  }),
  redisPersistent: gauge({
    name: "calendly_redis_persistent",
    help: "1 while Redis keeps an append-only file and its last write to it went well; absent where REDIS_ALLOW_UNSAFE waives that.",
    by: "fleet",
    labels: {},
  }),
  redisPrimary: gauge({
    name: "calendly_redis_primary",
    help: "1 while the Redis that is asked is a primary; absent where REDIS_ALLOW_UNSAFE waives that.",
    by: "fleet",
    labels: {},
  }),
  redisClients: gauge({
    name: "calendly_redis_clients",
    help: "Connections to Redis.",
    by: "fleet",
    labels: {},
  }),
  accessRefusals: counter({
    name: "calendly_access_refusals_total",
    help: "Requests to the worker's internal face that were refused for want of a right token.",
    by: "worker",
    labels: { reason: ["missing", "unknown", "too_many"] },
  }),
  fleetReadErrors: counter({
    name: "calendly_fleet_read_errors_total",
    help: "Parts of what the fleet tells that could not be read from Redis for an answer; they are absent from it.",
    by: "worker",
    labels: {},
  }),
} satisfies Readonly<Record<string, MetricSpec>>;

export type MetricName = keyof typeof METRICS;
type OfKind<Kind extends MetricSpec["kind"]> = {
  [Name in MetricName]: (typeof METRICS)[Name]["kind"] extends Kind ? Name : never;
}[MetricName];
export type CounterName = OfKind<"counter">;
export type GaugeName = OfKind<"gauge">;
export type HistogramName = OfKind<"histogram">;
export type LabelsOf<Name extends MetricName> = {
  readonly [Label in keyof (typeof METRICS)[Name]["labels"]]: string;
};
