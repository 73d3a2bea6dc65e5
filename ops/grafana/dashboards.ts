// The dashboards. The JSON files beside this one are made from here by `pnpm generate`; Grafana is provisioned with them.

interface Panel {
  readonly title: string;
  /** What one learns from it. */
  readonly description: string;
  readonly type: "timeseries" | "stat" | "table" | "bargauge";
  readonly unit: "short" | "s" | "bytes" | "percentunit" | "reqps" | "dateTimeFromNow";
  readonly queries: readonly { readonly expr: string; readonly legend: string }[];
  /** Of 24; the height is 8. */
  readonly width?: number;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

const one = (expr: string, legend = "") => [{ expr, legend }];
const RATE = "$__rate_interval";

/** A part of all that took longer, from a histogram. */
const quantiles = (histogram: string, by = "") =>
  [0.5, 0.95, 0.99].map((q) => ({
    expr: `histogram_quantile(${q}, sum by (le${by}) (rate(${histogram}_bucket[${RATE}])))`,
    legend: `p${q * 100}`,
  }));

export const DASHBOARDS: readonly Dashboard[] = [
  {
    uid: "calendly-flow",
    title: "Calendly worker: flow",
    panels: [
      {
        title: "Deliveries by result",
        description: "What comes in, and how it is answered.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (result) (rate(calendly_deliveries_total[${RATE}]))`, "{{result}}"),
        width: 12,
      },
      {
        title: "Outcomes by type",
        description: "What internal services are told.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (type) (rate(calendly_outcomes_total[${RATE}]))`, "{{type}}"),
        width: 12,
      },
      {
        title: "From acknowledgement to outcome",
        description: "The objective is a minute for 99 of 100.",
        type: "timeseries",
        unit: "s",
        queries: quantiles("calendly_acknowledged_to_outcome_seconds"),
      },
      {
        title: "From Calendly to outcome",
        description: "From the event's created_at; Calendly's own delay included.",
        type: "timeseries",
        unit: "s",
        queries: quantiles("calendly_end_to_end_seconds"),
      },
      {
        title: "Acknowledgement",
        description: "What Calendly waits for.",
        type: "timeseries",
        unit: "s",
        queries: quantiles("calendly_acknowledgement_seconds"),
      },
      {
        title: "Pipeline",
        description: "Facts that were folded by deliveries that were accepted, over an hour; 1 when nothing is stuck.",
        type: "stat",
        unit: "percentunit",
        queries: one("calendly:pipeline:ratio1h", "folded / accepted"),
        width: 6,
      },
      {
        title: "Last delivery",
        description: "When one was last verified.",
        type: "stat",
        unit: "dateTimeFromNow",
        queries: one("max(calendly_last_delivery_timestamp_seconds) * 1000"),
        width: 6,
      },
      {
        title: "Announced bookings",
        description: "Those that came of those that were due, over two hours.",
        type: "stat",
        unit: "percentunit",
        queries: one(
          "increase(calendly:expectations:completed[2h]) / (increase(calendly:expectations:completed[2h]) + increase(calendly:expectations:expired[2h]))",
          "completed / due",
        ),
        width: 6,
      },
      {
        title: "Waits for a person",
        description: "Each has its entry in the runbook.",
        type: "bargauge",
        unit: "short",
        queries: [
          { expr: "max(calendly_conflicts_open)", legend: "conflicts" },
          { expr: "max(calendly_bookings_incomplete)", legend: "incomplete" },
          { expr: "max(calendly_quarantined)", legend: "quarantined" },
          { expr: 'sum(max by (queue) (calendly_queue_jobs{state="failed"}))', legend: "dead letters" },
        ],
        width: 6,
      },
      {
        title: "Refused",
        description: "For the signature, and for bodies that could not be read to their end.",
        type: "timeseries",
        unit: "reqps",
        queries: [
          { expr: `sum by (reason) (rate(calendly_signature_failures_total[${RATE}]))`, legend: "{{reason}}" },
          { expr: `sum by (reason) (rate(calendly_unread_bodies_total[${RATE}]))`, legend: "body {{reason}}" },
        ],
      },
      {
        title: "Facts by what became of them",
        description: "Those from comparisons included.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (origin, result) (rate(calendly_facts_total[${RATE}]))`, "{{origin}} {{result}}"),
      },
      {
        title: "Missed by deliveries",
        description: "What the last comparison with Calendly's API found that no delivery had told.",
        type: "timeseries",
        unit: "short",
        queries: one("max by (band, event) (calendly_reconciliation_missed)", "{{band}} {{event}}"),
      },
      {
        title: "Behind",
        description: "Age of the oldest outcome that a consumer group has not handled.",
        type: "timeseries",
        unit: "s",
        queries: one("max by (group) (calendly_outcomes_group_lag_seconds)", "{{group}}"),
      },
      {
        title: "Pushes",
        description: "To destinations, by how they ended.",
        type: "timeseries",
        unit: "reqps",
        queries: one(
          `sum by (destination, result) (rate(calendly_pushes_total[${RATE}]))`,
          "{{destination}} {{result}}",
        ),
      },
      {
        title: "Waiting for destinations",
        description: "Outcomes not pushed yet.",
        type: "timeseries",
        unit: "short",
        queries: one("max by (destination) (calendly_destination_waiting)", "{{destination}}"),
      },
    ],
  },
  {
    uid: "calendly-queues",
    title: "Calendly worker: queues",
    panels: [
      {
        title: "Jobs that wait",
        description: "By queue.",
        type: "timeseries",
        unit: "short",
        queries: one('max by (queue) (calendly_queue_jobs{state="waiting"})', "{{queue}}"),
        width: 12,
      },
      {
        title: "Age of the oldest job",
        description: "Delayed ones included: conference links wait for days by their nature.",
        type: "timeseries",
        unit: "s",
        queries: one("max by (queue) (calendly_queue_oldest_job_seconds)", "{{queue}}"),
        width: 12,
      },
      {
        title: "Since the last heartbeat",
        description: "Over five minutes nobody works on the queue.",
        type: "timeseries",
        unit: "s",
        queries: one("time() - max by (queue) (calendly_heartbeat_timestamp_seconds)", "{{queue}}"),
      },
      {
        title: "Tries by how they ended",
        description: "Of jobs.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (queue, result) (rate(calendly_jobs_total[${RATE}]))`, "{{queue}} {{result}}"),
      },
      {
        title: "Time of jobs, p95",
        description: "By queue.",
        type: "timeseries",
        unit: "s",
        queries: one(
          `histogram_quantile(0.95, sum by (le, queue) (rate(calendly_job_seconds_bucket[${RATE}])))`,
          "{{queue}}",
        ),
      },
      {
        title: "Delayed and failed",
        description: "Failed ones are kept for a person.",
        type: "timeseries",
        unit: "short",
        queries: one('max by (queue, state) (calendly_queue_jobs{state=~"delayed|failed"})', "{{queue}} {{state}}"),
      },
      {
        title: "Tries that jobs took, p95",
        description: "Until they ended for good.",
        type: "timeseries",
        unit: "short",
        queries: one(
          `histogram_quantile(0.95, sum by (le, queue) (rate(calendly_job_attempts_bucket[${RATE}])))`,
          "{{queue}}",
        ),
      },
      {
        title: "Processes",
        description: "That say that they live, and workers that were replaced because they were deaf.",
        type: "timeseries",
        unit: "short",
        queries: [
          { expr: "max by (kind) (calendly_instances)", legend: "{{kind}}" },
          { expr: "calendly:deaf_workers", legend: "deaf so far" },
        ],
      },
      {
        title: "Redis: memory",
        description: "Used, and what may be used.",
        type: "timeseries",
        unit: "bytes",
        queries: [
          { expr: "max(calendly_redis_memory_used_bytes)", legend: "used" },
          { expr: "max(calendly_redis_memory_max_bytes)", legend: "may be used" },
        ],
      },
      {
        title: "Redis: fit",
        description:
          "As each process sees it, and whether it keeps its file and is the primary, where that is not waived.",
        type: "timeseries",
        unit: "short",
        queries: [
          { expr: "min by (instance) (calendly_redis_fit)", legend: "fit for {{instance}}" },
          { expr: "max(calendly_redis_persistent)", legend: "persistent" },
          { expr: "max(calendly_redis_primary)", legend: "primary" },
        ],
      },
      {
        title: "Lag of the event loop, p99",
        description: "By process.",
        type: "timeseries",
        unit: "s",
        queries: one("nodejs_eventloop_lag_p99_seconds", "{{job}} {{instance}}"),
      },
      {
        title: "Memory of the processes",
        description: "Resident.",
        type: "timeseries",
        unit: "bytes",
        queries: one("process_resident_memory_bytes", "{{job}} {{instance}}"),
      },
    ],
  },
  {
    uid: "calendly-api",
    title: "Calendly worker: Calendly's API",
    panels: [
      {
        title: "Requests by status",
        description: "To Calendly's API.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (status) (rate(calendly_api_requests_total[${RATE}]))`, "{{status}}"),
        width: 12,
      },
      {
        title: "Requests by endpoint",
        description: "Comparisons list events; live events ask for event types.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (endpoint) (rate(calendly_api_requests_total[${RATE}]))`, "{{endpoint}}"),
        width: 12,
      },
      {
        title: "Time of requests, p95",
        description: "By endpoint.",
        type: "timeseries",
        unit: "s",
        queries: one(
          `histogram_quantile(0.95, sum by (le, endpoint) (rate(calendly_api_request_seconds_bucket[${RATE}])))`,
          "{{endpoint}}",
        ),
      },
      {
        title: "Budget",
        description: "What is left of the account's requests in this window.",
        type: "timeseries",
        unit: "short",
        queries: [
          { expr: "max(calendly_api_budget_left)", legend: "left" },
          { expr: "max(calendly_api_budget_limit)", legend: "limit" },
        ],
      },
      {
        title: "Circuit",
        description: "Workers that ask nothing because Calendly keeps failing.",
        type: "timeseries",
        unit: "short",
        queries: one("sum(calendly_api_circuit_open)", "open"),
      },
      {
        title: "Event types looked up",
        description: "Remembered, asked for, or served stale.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (result) (rate(calendly_cache_reads_total[${RATE}]))`, "{{result}}"),
      },
      {
        title: "Comparisons",
        description: "Since the last one of each band ended.",
        type: "timeseries",
        unit: "s",
        queries: one("time() - max by (band) (calendly_reconciliation_ended_timestamp_seconds)", "{{band}}"),
      },
      {
        title: "Missed ratio",
        description: "Of the facts that the last comparison read, those that no delivery had told.",
        type: "timeseries",
        unit: "percentunit",
        queries: one("max by (band) (calendly_reconciliation_missed_ratio)", "{{band}}"),
      },
      {
        title: "Passed over",
        description: "Events of the last comparison whose invitees Calendly did not give.",
        type: "timeseries",
        unit: "short",
        queries: one("max by (band) (calendly_reconciliation_passed_over)", "{{band}}"),
      },
    ],
  },
  {
    uid: "calendly-keys",
    title: "Calendly worker: keys",
    panels: [
      {
        title: "Use of tokens",
        description: "As a part of CALENDLY_MAX_USAGE_PER_KEY.",
        type: "timeseries",
        unit: "percentunit",
        queries: one("max by (slot) (calendly_token_usage_ratio)", "{{slot}}"),
        width: 12,
      },
      {
        title: "State of tokens",
        description: "1 for the state that each is in.",
        type: "table",
        unit: "short",
        queries: one("max by (slot, state) (calendly_token_state) == 1", "{{slot}} {{state}}"),
        width: 12,
      },
      {
        title: "Failed over",
        description: "Whether the secondary token does the work.",
        type: "stat",
        unit: "short",
        queries: one("max(calendly_token_failed_over)"),
        width: 6,
      },
      {
        title: "Advice",
        description: "That nobody has followed yet: calendly tokens status.",
        type: "stat",
        unit: "short",
        queries: one("max(calendly_credential_advice)"),
        width: 6,
      },
      {
        title: "Subscriptions",
        description: "To this installation.",
        type: "stat",
        unit: "short",
        queries: one("max by (state) (calendly_subscriptions)", "{{state}}"),
        width: 6,
      },
      {
        title: "Calendly repeats",
        description: "Since when a delivery is repeated; a day disables the subscription.",
        type: "stat",
        unit: "dateTimeFromNow",
        queries: one("min(calendly_subscription_retry_start_timestamp_seconds) * 1000"),
        width: 6,
      },
      {
        title: "Deliveries by key",
        description: "That verified them: after a rotation the old one falls silent.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (key) (rate(calendly_deliveries_total[${RATE}]))`, "{{key}}"),
      },
      {
        title: "Since a signing key was used",
        description: "By variable.",
        type: "timeseries",
        unit: "s",
        queries: one("time() - max by (slot) (calendly_signing_key_last_used_timestamp_seconds)", "{{slot}}"),
      },
      {
        title: "Problems of the subscription",
        description: "As the guardian finds them.",
        type: "timeseries",
        unit: "short",
        queries: one("max by (code) (calendly_subscription_problem)", "{{code}}"),
      },
      {
        title: "Wrong tokens shown",
        description: "To the worker's internal face.",
        type: "timeseries",
        unit: "reqps",
        queries: one(`sum by (reason) (rate(calendly_access_refusals_total[${RATE}]))`, "{{reason}}"),
      },
    ],
  },
];

const HEIGHT = 8;
const COLUMNS = 24;
/** The one that the viewer has chosen. */
const DATASOURCE = { type: "prometheus", uid: "$datasource" };

/** As Grafana reads it. */
export function renderDashboard({ uid, title, panels }: Dashboard): string {
  let [x, y] = [0, 0];
  const placed = panels.map((panel, index) => {
    const width = panel.width ?? 8;
    if (x + width > COLUMNS) [x, y] = [0, y + HEIGHT];
    const gridPos = { x, y, w: width, h: HEIGHT };
    x += width;
    return {
      id: index + 1,
      type: panel.type,
      title: panel.title,
      description: panel.description,
      datasource: DATASOURCE,
      gridPos,
      fieldConfig: { defaults: { unit: panel.unit, min: 0 }, overrides: [] },
      options: panel.type === "timeseries" ? { legend: { displayMode: "list", placement: "bottom" } } : {},
      targets: panel.queries.map(({ expr, legend }, target) => ({
        refId: String.fromCharCode(65 + target),
        datasource: DATASOURCE,
        expr,
        legendFormat: legend,
        instant: panel.type !== "timeseries",
      })),
    };
  });
  const dashboard = {
    uid,
    title,
    tags: ["calendly-worker"],
    timezone: "utc",
    editable: false,
    refresh: "30s",
    schemaVersion: 39,
    time: { from: "now-6h", to: "now" },
    templating: { list: [{ name: "datasource", type: "datasource", query: "prometheus", label: "Prometheus" }] },
    links: [{ type: "dashboards", tags: ["calendly-worker"], title: "Calendly worker", asDropdown: true }],
    panels: placed,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}
