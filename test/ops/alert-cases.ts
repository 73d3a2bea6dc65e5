/** Series as promtool reads them, one value a minute. */
export type Series = Readonly<Record<string, string>>;

export interface AlertCase {
  /** With these, or with each of these, it fires at that minute, with these labels beside its severity. */
  readonly fires: Series | readonly Series[];
  readonly at: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** With these, or with each of these, it does not, although something is there. */
  readonly quiet: Series | readonly Series[];
  /** With nothing told at all: only what is about absence fires. */
  readonly firesOnAbsence?: readonly Readonly<Record<string, string>>[];
}

const problem = (code: string) => `calendly_subscription_problem{code="${code}"}`;
const instances = (kind: string, at = "a") => `calendly_instances{kind="${kind}",instance="${at}"}`;
const count = "calendly_acknowledged_to_outcome_seconds_count";
/** As Prometheus 2 keeps it, and as Prometheus 3 does; with another bucket, which must not count. */
const outcomes = (all: string, inTime: string) =>
  ["60", "60.0"].map((le) => ({
    [count]: all,
    [`calendly_acknowledged_to_outcome_seconds_bucket{le="${le}"}`]: inTime,
    'calendly_acknowledged_to_outcome_seconds_bucket{le="+Inf"}': all,
  }));
const apiRequests = (status: string) => `calendly_api_requests_total{endpoint="GET /users/me",status="${status}"}`;
const failures = (reason: string) => `calendly_signature_failures_total{reason="${reason}"}`;

/** For every alert when it fires and when it does not. Times of gauges are Unix time, which begins at 0 here. */
export const CASES: Readonly<Record<string, AlertCase>> = {
  CalendlyWorkerAbsent: {
    fires: { [instances("worker")]: "1x60", [instances("ingest")]: "1x5 0x60" },
    at: 20,
    labels: { kind: "ingest" },
    quiet: { [instances("worker")]: "2x60", [instances("ingest")]: "1x60" },
    firesOnAbsence: [{ kind: "worker" }, { kind: "ingest" }],
  },
  CalendlyRedisUnsafe: {
    fires: [
      { 'calendly_redis_fit{instance="a"}': "1x60", 'calendly_redis_fit{instance="b"}': "1x5 0x60" },
      { calendly_redis_fit: "1x60", calendly_redis_persistent: "1x5 0x60", calendly_redis_primary: "1x60" },
      { calendly_redis_fit: "1x60", calendly_redis_persistent: "1x60", calendly_redis_primary: "1x5 0x60" },
      // Both are waived.
      { calendly_redis_fit: "1x5 0x60" },
    ],
    at: 20,
    quiet: [
      { calendly_redis_fit: "1x60", calendly_redis_persistent: "1x60", calendly_redis_primary: "1x60" },
      { calendly_redis_fit: "1x60", calendly_redis_primary: "1x60" },
      { calendly_redis_fit: "1x60", calendly_redis_persistent: "1x60" },
    ],
  },
  CalendlyQueueUnworked: {
    fires: { 'calendly_heartbeat_timestamp_seconds{queue="deliveries"}': "0+60x5 300x60" },
    at: 20,
    labels: { queue: "deliveries" },
    quiet: {
      'calendly_heartbeat_timestamp_seconds{queue="deliveries"}': "0+60x60",
      // The longest WORKER_HEARTBEAT_INTERVAL, where the next worker's comes just too early to be put in.
      'calendly_heartbeat_timestamp_seconds{queue="maintenance"}': "0x3 240x3 480x3 720x3 960x3 1200x3 1440x40",
      'calendly_heartbeat_timestamp_seconds{queue="sweeps"}': "0x60",
      'calendly_queue_paused{queue="sweeps"}': "1x60",
    },
  },
  CalendlyDeliveryStuck: {
    fires: { 'calendly_queue_oldest_job_seconds{queue="deliveries"}': "0+60x60" },
    at: 30,
    labels: { queue: "deliveries" },
    quiet: {
      'calendly_queue_oldest_job_seconds{queue="deliveries"}': "600x60",
      'calendly_queue_oldest_job_seconds{queue="conference-links"}': "90000x60",
    },
  },
  CalendlySubscriptionDown: {
    fires: { [problem("disabled")]: "1x60" },
    at: 20,
    labels: { code: "disabled" },
    quiet: { [problem("retrying")]: "1x60", [problem("missing")]: "1x3 _x60" },
  },
  CalendlySubscriptionRetrying: {
    fires: { calendly_subscription_retry_start_timestamp_seconds: "600x120" },
    at: 90,
    quiet: { calendly_subscription_retry_start_timestamp_seconds: "3600x120" },
  },
  CalendlyDeliveriesSilent: {
    fires: { [problem("silent")]: "1x60" },
    at: 20,
    quiet: { [problem("stray")]: "1x60" },
  },
  CalendlyOutcomesLateFast: {
    fires: outcomes("0+10x120", "0+5x120"),
    at: 90,
    quiet: outcomes("0+100x120", "0+90x120"),
  },
  CalendlyOutcomesLateSlow: {
    fires: outcomes("0+100x180", "0+90x180"),
    at: 170,
    quiet: outcomes("0+1000x180", "0+995x180"),
  },
  CalendlyNoDeliveries: {
    fires: { calendly_last_delivery_timestamp_seconds: "0x180" },
    at: 150,
    quiet: { calendly_last_delivery_timestamp_seconds: "7200x180" },
  },
  CalendlySignatureFailures: {
    fires: { [failures("signature_mismatch")]: "0x5 1+1x60" },
    at: 20,
    quiet: { [failures("signature_mismatch")]: "0x5 2x60", [failures("timestamp_outside_window")]: "0+5x60" },
  },
  CalendlyBodiesGivenUp: {
    fires: { 'calendly_unread_bodies_total{reason="given_up"}': "0x5 1+1x60" },
    at: 20,
    quiet: {
      'calendly_unread_bodies_total{reason="given_up"}': "3x65",
      'calendly_unread_bodies_total{reason="incomplete"}': "0+5x65",
      'calendly_unread_bodies_total{reason="too_large"}': "0+5x65",
    },
  },
  CalendlyDeliveriesLate: {
    fires: { 'calendly_late_deliveries_total{result="deferred"}': "0x5 1+1x60" },
    at: 20,
    quiet: {
      'calendly_late_deliveries_total{result="deferred"}': "0x5 2x60",
      [failures("signature_mismatch")]: "0+5x60",
    },
  },
  CalendlyAuthenticationFailed: {
    fires: { 'calendly_token_state{slot="primary",state="revoked"}': "0x5 1x60" },
    at: 20,
    labels: { slot: "primary", state: "revoked" },
    quiet: {
      'calendly_token_state{slot="primary",state="active"}': "1x60",
      'calendly_token_state{slot="primary",state="revoked"}': "0x60",
    },
  },
  CalendlyTokenNearLimit: {
    fires: {
      'calendly_token_usage_ratio{slot="primary",instance="a"}': "0.9x60",
      'calendly_token_usage_ratio{slot="primary",instance="b"}': "0.9x60",
    },
    at: 20,
    labels: { slot: "primary" },
    quiet: {
      'calendly_token_usage_ratio{slot="primary"}': "0.7x60",
      'calendly_token_usage_ratio{slot="secondary"}': "0x60",
    },
  },
  CalendlyApiFailing: {
    fires: { [apiRequests("unreachable")]: "0+1x60", [apiRequests("200")]: "0x60" },
    at: 30,
    quiet: {
      [apiRequests("5xx")]: "0+1x60",
      [apiRequests("200")]: "0+10x60",
      calendly_api_circuit_open: "0x5 1x3 0x60",
    },
  },
  CalendlyApiBudgetLow: {
    fires: { calendly_api_budget_left: "5x60", calendly_api_budget_limit: "500x60" },
    at: 20,
    quiet: { calendly_api_budget_left: "5x3 500x60", calendly_api_budget_limit: "500x60" },
  },
  CalendlySubscriptionOdd: {
    fires: { [problem("doubled")]: "1x60" },
    at: 30,
    labels: { code: "doubled" },
    quiet: { [problem("disabled")]: "1x60" },
  },
  CalendlyGuardianStopped: {
    fires: { calendly_subscription_checked_timestamp_seconds: "0x120" },
    at: 90,
    // With the longest interval, and a look that begins two minutes late.
    quiet: { calendly_subscription_checked_timestamp_seconds: "1680x90 5460x30" },
  },
  CalendlyDeliveriesMissed: {
    fires: { 'calendly_reconciliation_missed_ratio{band="near"}': "0.1x60" },
    at: 10,
    labels: { band: "near" },
    quiet: { 'calendly_reconciliation_missed_ratio{band="near"}': "0.01x60" },
  },
  CalendlyComparisonsStopped: {
    // Every worker tells the same, each as it was when it was asked.
    fires: {
      'calendly_reconciliation_ended_timestamp_seconds{band="near",instance="a"}': "0+900x2 1800x500",
      'calendly_reconciliation_ended_timestamp_seconds{band="near",instance="b"}': "0+900x2 1800x500",
    },
    at: 425,
    labels: { band: "near" },
    quiet: {
      'calendly_reconciliation_ended_timestamp_seconds{band="near"}': "7200x500",
      'calendly_reconciliation_ended_timestamp_seconds{band="far"}': "0x500",
    },
  },
  CalendlyEventsPassedOver: {
    fires: { 'calendly_reconciliation_passed_over{band="near"}': "1x120" },
    at: 90,
    labels: { band: "near" },
    quiet: {
      'calendly_reconciliation_passed_over{band="near"}': "1x20 0x100",
      'calendly_reconciliation_passed_over{band="far"}': "1x120",
    },
  },
  CalendlyCompletionLow: {
    fires: {
      'calendly_expectations{state="completed"}': "0+1x130",
      'calendly_expectations{state="expired"}': "0+1x130",
    },
    at: 125,
    quiet: {
      'calendly_expectations{state="completed"}': "0+10x130",
      'calendly_expectations{state="expired"}': "0+1x130",
    },
  },
  CalendlyConflictsOpen: {
    fires: { 'calendly_conflicts_open{instance="a"}': "1x60", 'calendly_conflicts_open{instance="b"}': "1x60" },
    at: 20,
    quiet: { calendly_conflicts_open: "1x3 0x60" },
  },
  CalendlyBookingsIncomplete: {
    fires: { calendly_bookings_incomplete: "2x60" },
    at: 45,
    quiet: { calendly_bookings_incomplete: "2x20 0x60" },
  },
  CalendlyQuarantined: {
    fires: { calendly_quarantined: "1x60" },
    at: 20,
    quiet: { calendly_quarantined: "0x60" },
  },
  CalendlyDeadLetters: {
    fires: { 'calendly_queue_jobs{queue="deliveries",state="failed"}': "1x60" },
    at: 20,
    labels: { queue: "deliveries" },
    quiet: {
      'calendly_queue_jobs{queue="deliveries",state="failed"}': "0x60",
      'calendly_queue_jobs{queue="deliveries",state="waiting"}': "9x60",
    },
  },
  CalendlyQueuePaused: {
    fires: { 'calendly_queue_paused{queue="deliveries"}': "1x60" },
    at: 45,
    labels: { queue: "deliveries" },
    quiet: { 'calendly_queue_paused{queue="deliveries"}': "1x20 0x60" },
  },
  CalendlyWorkerDeaf: {
    fires: {
      'calendly_deaf_workers_total{instance="a"}': "0x5 1x60",
      'calendly_deaf_workers_total{instance="b"}': "0x5 1x60",
    },
    at: 20,
    // Between, it could not be read from Redis.
    quiet: { calendly_deaf_workers_total: "3x8 _x5 3x60" },
  },
  CalendlyRedisFilling: {
    fires: { calendly_redis_memory_used_bytes: "90x60", calendly_redis_memory_max_bytes: "100x60" },
    at: 20,
    quiet: { calendly_redis_memory_used_bytes: "70x60", calendly_redis_memory_max_bytes: "100x60" },
  },
  CalendlyConsumerLagging: {
    fires: { 'calendly_outcomes_group_lag_seconds{group="billing",shard="0"}': "5000x60" },
    at: 20,
    labels: { group: "billing" },
    quiet: { 'calendly_outcomes_group_lag_seconds{group="billing",shard="0"}': "3000x60" },
  },
  CalendlyConsumerDeadLetters: {
    fires: { 'calendly_outcomes_group_dead_letters{group="billing"}': "1x60" },
    at: 20,
    labels: { group: "billing" },
    quiet: { 'calendly_outcomes_group_dead_letters{group="billing"}': "0x60" },
  },
  CalendlyDestinationFailing: {
    fires: { 'calendly_destination_failing_since_timestamp_seconds{destination="d1"}': "60x60" },
    at: 30,
    labels: { destination: "d1" },
    quiet: { 'calendly_destination_failing_since_timestamp_seconds{destination="d1"}': "1200x30 _x60" },
  },
  CalendlyDestinationLosing: {
    fires: { 'calendly_destination_dead_letters{destination="d1"}': "1x60" },
    at: 20,
    labels: { destination: "d1" },
    quiet: {
      'calendly_destination_dead_letters{destination="d1"}': "0x60",
      'calendly_destination_paused{destination="d1"}': "0x60",
    },
  },
  CalendlyTokenFailedOver: {
    fires: { calendly_token_failed_over: "1x60" },
    at: 10,
    quiet: { calendly_token_failed_over: "0x60" },
  },
  CalendlyAccessRefused: {
    fires: { 'calendly_access_refusals_total{reason="unknown"}': "0+2x60" },
    at: 20,
    quiet: {
      'calendly_access_refusals_total{reason="missing"}': "0+20x60",
      'calendly_access_refusals_total{reason="unknown"}': "3x60",
    },
  },
};
