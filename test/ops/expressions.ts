import { METRICS, type MetricSpec } from "@calendly-worker/core/telemetry/metrics";
import { RULES } from "../../ops/prometheus/alerts.ts";

/** Every name that a query can use: of the metrics, of the parts of a histogram, of what is recorded. */
const DECLARED = new Set([
  ...Object.values<MetricSpec>(METRICS).flatMap(({ name, kind }) =>
    kind === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
  ...RULES.map(({ record }) => record),
  ...[
    "nodejs_eventloop_lag_p99_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "nodejs_heap_size_used_bytes",
  ],
]);

/** The names of metrics in expressions, and those among them that nobody declares. */
export function metricNamesIn(text: string): {
  readonly used: readonly string[];
  readonly undeclared: readonly string[];
} {
  const names = [...text.matchAll(/\b(?:calendly[_:]|nodejs_|process_)[a-z0-9_:]+/g)].map(([name]) => name);
  const used = [...new Set(names)];
  return { used, undeclared: used.filter((name) => !DECLARED.has(name)) };
}
