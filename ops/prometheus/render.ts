import { stringify } from "yaml";
import { ALERTS, type Alert, RULES, type Times } from "./alerts.ts";

/** Times as they are, or so many times shorter. */
export function timesBy(factor: number): Times {
  return {
    window: (seconds) => durationOf(seconds / factor),
    seconds: (seconds) => String(Math.round((seconds / factor) * 1_000) / 1_000),
  };
}

/** Where a person reads what to do, from the root of the repository. */
export function runbookOf({ name }: Pick<Alert, "name">): string {
  return `docs/operations.md#${name.toLowerCase()}`;
}

export function annotationsOf(alert: Alert): Record<string, string> {
  return { summary: alert.summary, because: alert.because, runbook: runbookOf(alert) };
}

const HEAD = "# Made by `pnpm generate` from ops/prometheus/alerts.ts.\n";

/** The rule file, as Prometheus reads it. */
export function renderRules(factor = 1): string {
  return HEAD + stringify({ groups: groupsOf(factor) }, { lineWidth: 0 });
}

/** The same rules, as the Prometheus operator reads them. */
export function renderPrometheusRule(): string {
  const rule = {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name: "calendly-worker" },
    spec: { groups: groupsOf(1) },
  };
  return HEAD + stringify(rule, { lineWidth: 0 });
}

function groupsOf(factor: number) {
  const times = timesBy(factor);
  const interval = durationOf(30 / factor);
  return [
    { name: "calendly-recorded", interval, rules: RULES.map(({ record, expr }) => ({ record, expr: expr(times) })) },
    {
      name: "calendly-alerts",
      interval,
      rules: ALERTS.map((alert) => ({
        alert: alert.name,
        expr: alert.expr(times),
        ...(alert.forSeconds > 0 && { for: times.window(alert.forSeconds) }),
        labels: { severity: alert.severity },
        annotations: annotationsOf(alert),
      })),
    },
  ];
}

function durationOf(seconds: number): string {
  const ms = Math.round(seconds * 1_000);
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}
