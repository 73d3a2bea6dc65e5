// What somebody is told, and why. `rules.yml` is made from here by `pnpm generate`, and `docs/operations.md` has an entry for
// each alert. Times are in seconds and go through `Times`, so that a test can have a day pass in minutes.

import { STUCK_AFTER_MS, UNWORKED_AFTER_MS } from "@calendly-worker/core/queues/overdue";

/** A time as it stands in an expression: as a duration, or as a number of seconds. All are scaled alike. */
export interface Times {
  /** `[5m]`, `for: 5m`. */
  readonly window: (seconds: number) => string;
  /** For comparison with an age. */
  readonly seconds: (seconds: number) => string;
}

export interface Rule {
  readonly record: string;
  readonly expr: (times: Times) => string;
}

export interface Alert {
  readonly name: string;
  /** page: a person is woken; ticket: somebody looks the next working day; info: nobody needs to. */
  readonly severity: "page" | "ticket" | "info";
  /** Why that severity. */
  readonly because: string;
  readonly summary: string;
  readonly expr: (times: Times) => string;
  /** How long it must hold. */
  readonly forSeconds: number;
}

const MINUTE = 60;
const HOUR = 3_600;

/** An outcome within a minute of the acknowledgement, for 99 of 100 deliveries. */
export const OBJECTIVE = { ratio: 0.99, withinSeconds: 60 } as const;
const BUDGET = 1 - OBJECTIVE.ratio;
/**
 * What came in time. The apps write `le="60"`, which Prometheus 2 keeps and Prometheus 3 turns into `le="60.0"`
 * (https://prometheus.io/docs/prometheus/latest/migration/). A selector of one spelling finds nothing where the other is
 * kept, and an alert on nothing never fires.
 */
const IN_TIME = `calendly_acknowledged_to_outcome_seconds_bucket{le=~"${OBJECTIVE.withinSeconds}([.]0)?"}`;

export const RULES: readonly Rule[] = [
  {
    record: "calendly:deliveries:rate5m",
    expr: ({ window }) => `sum by (result) (rate(calendly_deliveries_total[${window(5 * MINUTE)}]))`,
  },
  {
    record: "calendly:pipeline:ratio1h",
    expr: ({ window }) =>
      `sum(increase(calendly_facts_total{origin="webhook",result!="failed"}[${window(HOUR)}])) / sum(increase(calendly_deliveries_total{result="accepted"}[${window(HOUR)}]))`,
  },
  { record: "calendly:expectations:completed", expr: () => `max(calendly_expectations{state="completed"})` },
  { record: "calendly:expectations:expired", expr: () => `max(calendly_expectations{state="expired"})` },
  { record: "calendly:deaf_workers", expr: () => "max(calendly_deaf_workers_total)" },
  ...[5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR].map((seconds) => ({
    record: `calendly:outcomes:late_ratio${nameOf(seconds)}`,
    expr: ({ window }: Times) =>
      `1 - sum(rate(${IN_TIME}[${window(seconds)}])) / sum(rate(calendly_acknowledged_to_outcome_seconds_count[${window(seconds)}]))`,
  })),
];

/** Spends the month's budget so many times too fast, over a long and a short window. */
function burns(factor: number, long: number, short: number): string {
  const over = (seconds: number) => `calendly:outcomes:late_ratio${nameOf(seconds)} > ${round(factor * BUDGET)}`;
  return `${over(long)} and ${over(short)}`;
}

/**
 * Who lives is read from Redis. Where Redis is away that is absent, and where it takes no writes nobody is on the list, not even a
 * worker that is scraped, which its own gauge shows: that is no death, and CalendlyRedisUnsafe tells of it.
 */
const REDIS_HIDES_THEM =
  'min(calendly_redis_fit) == 0 and max(calendly_api_circuit_open) >= 0 unless max(calendly_instances{kind="worker"}) > 0';

export const ALERTS: readonly Alert[] = [
  // People are woken.
  {
    name: "CalendlyWorkerAbsent",
    severity: "page",
    because:
      "Without an ingest deliveries are refused, without a worker nothing becomes of them, and without metrics nobody knows.",
    summary: "No ingest or no worker is alive, or none tells its metrics",
    expr: () =>
      `(absent(calendly_instances{kind="worker"}) or absent(calendly_instances{kind="ingest"}) or max by (kind) (calendly_instances) == 0) unless on () (${REDIS_HIDES_THEM})`,
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyRedisUnsafe",
    severity: "page",
    because: "Deliveries are answered 503 while Redis takes no writes; what it holds without a file is lost with it.",
    summary: "Redis takes no writes, is a replica, keeps no file, or has no memory to spare",
    // What REDIS_ALLOW_UNSAFE waives is absent.
    expr: () =>
      "min(calendly_redis_fit) == 0 or max(calendly_redis_persistent) == 0 or max(calendly_redis_primary) == 0",
    forSeconds: 2 * MINUTE,
  },
  {
    name: "CalendlyQueueUnworked",
    severity: "page",
    because: "Deliveries are acknowledged and nothing becomes of them until somebody works on the queue.",
    summary: "No heartbeat has gone through a queue for five minutes",
    expr: ({ seconds }) =>
      `time() - max by (queue) (calendly_heartbeat_timestamp_seconds) > ${seconds(UNWORKED_AFTER_MS / 1_000)} unless on (queue) max by (queue) (calendly_queue_paused) == 1`,
    forSeconds: 2 * MINUTE,
  },
  {
    name: "CalendlyDeliveryStuck",
    severity: "page",
    because: "A booking has happened and internal services do not know of it; it does not mend itself by then.",
    summary: "A delivery has waited for a quarter of an hour",
    expr: ({ seconds }) =>
      `max by (queue) (calendly_queue_oldest_job_seconds{queue="deliveries"}) > ${seconds(STUCK_AFTER_MS / 1_000)} unless on (queue) max by (queue) (calendly_queue_paused) == 1`,
    forSeconds: 2 * MINUTE,
  },
  {
    name: "CalendlySubscriptionDown",
    severity: "page",
    because:
      "Calendly delivers nothing and sends nothing of it later; comparisons with its API find it late and only in part.",
    summary: "Calendly has no active webhook subscription to this installation",
    expr: () => 'max by (code) (calendly_subscription_problem{code=~"missing|disabled|not_healed"}) == 1',
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlySubscriptionRetrying",
    severity: "page",
    because: "Calendly disables a subscription whose deliveries fail for a day.",
    summary: "Calendly has been repeating a delivery for an hour",
    expr: ({ seconds }) => `time() - min(calendly_subscription_retry_start_timestamp_seconds) > ${seconds(HOUR)}`,
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyDeliveriesSilent",
    severity: "page",
    because: "It is no quiet day: Calendly's API knows of bookings that nobody has delivered.",
    summary: "Nothing is delivered while bookings happen",
    expr: () => 'max(calendly_subscription_problem{code="silent"}) == 1',
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyOutcomesLateFast",
    severity: "page",
    because: "At that rate a fiftieth of the month's budget of late outcomes goes in an hour.",
    summary: "Outcomes come later than a minute after their deliveries, for many",
    expr: () => burns(14.4, HOUR, 5 * MINUTE),
    forSeconds: 2 * MINUTE,
  },

  // Somebody looks the next working day.
  {
    name: "CalendlyOutcomesLateSlow",
    severity: "ticket",
    because: "It spends the month's budget within a few days.",
    summary: "Outcomes come later than a minute after their deliveries, for some",
    expr: () => burns(6, 2 * HOUR, 15 * MINUTE),
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyNoDeliveries",
    severity: "ticket",
    because: "It may be a quiet day: the alert about silence wakes people where it is not.",
    summary: "No delivery has been verified for two hours",
    expr: ({ seconds }) => `time() - max(calendly_last_delivery_timestamp_seconds) > ${seconds(2 * HOUR)}`,
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlySignatureFailures",
    severity: "ticket",
    because:
      "Anybody can send rubbish. Where it is Calendly whose deliveries are refused, it repeats them, and that alert wakes people.",
    summary: "Deliveries are refused for their signature",
    expr: ({ window }) =>
      `sum(increase(calendly_signature_failures_total{reason=~"signature_mismatch|signature_malformed|signature_missing"}[${window(15 * MINUTE)}])) > 5`,
    forSeconds: 0,
  },
  {
    name: "CalendlyBodiesGivenUp",
    severity: "ticket",
    because:
      "Somebody sends more than an ingest holds. Calendly's deliveries get through meanwhile, and are repeated where not.",
    summary: "Bodies of deliveries are given up before they are complete, for want of room",
    expr: ({ window }) => `sum(increase(calendly_unread_bodies_total{reason="given_up"}[${window(15 * MINUTE)}])) > 0`,
    forSeconds: 0,
  },
  {
    name: "CalendlyDeliveriesLate",
    severity: "ticket",
    because:
      "Late bookings and cancellations are asked for at Calendly's API; late no-shows and routing forms wait in the quarantine.",
    summary: "Genuine deliveries come outside the accepted window of time: a clock is wrong, or a delivery took long",
    expr: ({ window }) =>
      `sum(increase(calendly_late_deliveries_total[${window(15 * MINUTE)}])) > 3 or sum(increase(calendly_signature_failures_total{reason="timestamp_outside_window"}[${window(15 * MINUTE)}])) > 3`,
    forSeconds: 0,
  },
  {
    name: "CalendlyAuthenticationFailed",
    severity: "ticket",
    because: "Deliveries go on; what has to be asked for waits, or the other token is used.",
    summary: "Calendly does not take an API token any more",
    expr: () => 'max by (slot, state) (calendly_token_state{state=~"expired|revoked|invalid"}) == 1',
    forSeconds: MINUTE,
  },
  {
    name: "CalendlyTokenNearLimit",
    severity: "ticket",
    because: "Advice, and no limit of Calendly's: it can be snoozed with `calendly tokens snooze`.",
    summary: "An API token has made most of the requests after which it should be replaced",
    expr: () => "max by (slot) (calendly_token_usage_ratio) > 0.8",
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyApiFailing",
    severity: "ticket",
    because: "Only Calendly can mend it; what is missing is asked for again by itself.",
    summary: "Most requests to Calendly's API fail, or hardly any are made because they did",
    expr: ({ window }) =>
      `max(calendly_api_circuit_open) == 1 or (sum(increase(calendly_api_requests_total{status=~"5xx|timed_out|unreachable"}[${window(15 * MINUTE)}])) > 5 and sum(increase(calendly_api_requests_total{status=~"5xx|timed_out|unreachable"}[${window(15 * MINUTE)}])) / sum(increase(calendly_api_requests_total[${window(15 * MINUTE)}])) > 0.5)`,
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyApiBudgetLow",
    severity: "ticket",
    because: "What needs a request waits for the next window; others who use the account may be in the way.",
    summary: "The account's requests to Calendly's API are nearly used up, window after window",
    expr: () => "max(calendly_api_budget_left) / max(calendly_api_budget_limit) < 0.05",
    forSeconds: 10 * MINUTE,
  },
  {
    name: "CalendlySubscriptionOdd",
    severity: "ticket",
    because: "Deliveries go on.",
    summary: "The webhook subscription lacks events, is doubled, left over, or a rotation of its key stands still",
    expr: () =>
      'max by (code) (calendly_subscription_problem{code=~"events_differ|doubled|stray|rotation_stalled"}) == 1',
    forSeconds: 15 * MINUTE,
  },
  {
    name: "CalendlyGuardianStopped",
    severity: "ticket",
    because: "Nobody would notice a subscription that ends.",
    summary: "Nobody has looked at the webhook subscription for an hour",
    expr: ({ seconds }) => `time() - max(calendly_subscription_checked_timestamp_seconds) > ${seconds(HOUR)}`,
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyDeliveriesMissed",
    severity: "ticket",
    because: "What was missed has been found by then.",
    summary: "Comparisons with Calendly's API find bookings that were not delivered",
    expr: () => 'max by (band) (calendly_reconciliation_missed_ratio{band="near"}) > 0.02',
    forSeconds: 0,
  },
  {
    name: "CalendlyComparisonsStopped",
    severity: "ticket",
    because: "What is delivered is known all the same; what is not delivered would be known to nobody.",
    summary: "No comparison of the next days' events with Calendly's API has ended for six hours",
    expr: ({ seconds }) =>
      `time() - max by (band) (calendly_reconciliation_ended_timestamp_seconds{band="near"}) > ${seconds(6 * HOUR)}`,
    forSeconds: 30 * MINUTE,
  },
  {
    name: "CalendlyEventsPassedOver",
    severity: "ticket",
    because: "Of these events only that is known which was delivered. All others were compared.",
    summary: "Comparisons with Calendly's API pass over events whose invitees it does not give",
    expr: () => 'max by (band) (calendly_reconciliation_passed_over{band="near"}) > 0',
    forSeconds: HOUR,
  },
  {
    name: "CalendlyCompletionLow",
    severity: "ticket",
    because: "Whoever announced bookings finds them missing; the cause may lie on the way before Calendly.",
    summary: "Of the bookings that were announced and due, fewer than four in five came",
    expr: ({ window }) => {
      const grown = (what: string) => `increase(calendly:expectations:${what}[${window(2 * HOUR)}])`;
      return `${grown("expired")} > 2 and ${grown("completed")} / (${grown("completed")} + ${grown("expired")}) < 0.8`;
    },
    forSeconds: 0,
  },
  {
    name: "CalendlyConflictsOpen",
    severity: "ticket",
    because: "Two people are booked for one time of a host: somebody has to call one of them.",
    summary: "Bookings to come take the same time of a host",
    expr: () => "max(calendly_conflicts_open) > 0",
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyBookingsIncomplete",
    severity: "ticket",
    because: "Their consumers lack a part until it is found.",
    summary: "Parts of bookings were asked for in vain",
    expr: () => "max(calendly_bookings_incomplete) > 0",
    forSeconds: 30 * MINUTE,
  },
  {
    name: "CalendlyQuarantined",
    severity: "ticket",
    because: "They are kept; a person has to read why they do not fit.",
    summary: "Genuine deliveries could not be read",
    expr: () => "max(calendly_quarantined) > 0",
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyDeadLetters",
    severity: "ticket",
    because: "They are kept for 30 days at most, and nothing else waits for them.",
    summary: "Jobs were given up",
    expr: () => 'max by (queue) (calendly_queue_jobs{state="failed"}) > 0',
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyQueuePaused",
    severity: "ticket",
    because: "Somebody wanted it, and may have forgotten.",
    summary: "A queue has been paused for half an hour",
    expr: () => "max by (queue) (calendly_queue_paused) == 1",
    forSeconds: 30 * MINUTE,
  },
  {
    name: "CalendlyWorkerDeaf",
    severity: "ticket",
    because: "It has been replaced; twice a day is a matter of the network or of Redis.",
    summary: "A worker heard nothing any more and ended",
    expr: ({ window }) => `increase(calendly:deaf_workers[${window(30 * MINUTE)}]) > 0`,
    forSeconds: 0,
  },
  {
    name: "CalendlyRedisFilling",
    severity: "ticket",
    because: "Above 97 % nothing new is taken on.",
    summary: "Redis uses most of the memory that it may use",
    expr: () => "max(calendly_redis_memory_used_bytes) / max(calendly_redis_memory_max_bytes) > 0.8",
    forSeconds: 10 * MINUTE,
  },
  {
    name: "CalendlyConsumerLagging",
    severity: "ticket",
    because: "It is another service's; outcomes are kept for it for months.",
    summary: "A consumer group is an hour behind",
    expr: ({ seconds }) => `max by (group) (calendly_outcomes_group_lag_seconds) > ${seconds(HOUR)}`,
    forSeconds: 10 * MINUTE,
  },
  {
    name: "CalendlyConsumerDeadLetters",
    severity: "ticket",
    because: "It is another service's; what it has given up is kept for 30 days.",
    summary: "A consumer group has given up outcomes",
    expr: () => "max by (group) (calendly_outcomes_group_dead_letters) > 0",
    forSeconds: 5 * MINUTE,
  },
  {
    name: "CalendlyDestinationFailing",
    severity: "ticket",
    because:
      "It is another service's; each outcome is tried for about three days and is then a dead letter, kept for 30.",
    summary: "Pushing outcomes to a destination has failed for a quarter of an hour",
    expr: ({ seconds }) =>
      `time() - max by (destination) (calendly_destination_failing_since_timestamp_seconds) > ${seconds(15 * MINUTE)}`,
    forSeconds: 0,
  },
  {
    name: "CalendlyDestinationLosing",
    severity: "ticket",
    because: "They are kept for 30 days and can be pushed again.",
    summary: "A destination would not take outcomes, or nothing is pushed to it any more",
    expr: () =>
      "max by (destination) (calendly_destination_dead_letters) > 0 or max by (destination) (calendly_destination_paused) == 1",
    forSeconds: 5 * MINUTE,
  },

  // Nobody needs to.
  {
    name: "CalendlyTokenFailedOver",
    severity: "info",
    because: "The secondary token does it all.",
    summary: "The secondary API token is used",
    expr: () => "max(calendly_token_failed_over) == 1",
    forSeconds: 0,
  },
  {
    name: "CalendlyAccessRefused",
    severity: "info",
    because: "Nobody got in.",
    summary: "Wrong tokens were shown to the worker's internal face",
    expr: ({ window }) =>
      `sum(increase(calendly_access_refusals_total{reason=~"unknown|too_many"}[${window(15 * MINUTE)}])) > 10`,
    forSeconds: 0,
  },
];

function nameOf(seconds: number): string {
  return seconds % HOUR === 0 ? `${seconds / HOUR}h` : `${seconds / MINUTE}m`;
}

function round(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
