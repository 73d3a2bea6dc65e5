import { METRICS, type MetricSpec } from "@calendly-worker/core/telemetry/metrics";
import { stringify } from "yaml";

/** What Datadog calls a metric: without the project's prefix, which is its namespace, and without `_total`. */
export function datadogNameOf({ name }: Pick<MetricSpec, "name">): string {
  return name.replace(/^calendly_/, "").replace(/_total$/, "");
}

const HEAD = "# Made by `pnpm generate` from packages/core/src/telemetry/metrics.ts.";

function instance(endpoint: string, metrics: readonly object[]) {
  const headers = { Authorization: "Bearer %%env_METRICS_TOKEN%%" };
  return { openmetrics_endpoint: endpoint, namespace: "calendly", headers, metrics };
}

function metricsOf(app: "ingest" | "worker") {
  const own = Object.values<MetricSpec>(METRICS).filter(
    ({ by }) => by === "both" || by === app || (by === "fleet" && app === "worker"),
  );
  return own.map((spec) => ({ [spec.name.replace(/_total$/, "")]: datadogNameOf(spec) }));
}

/** The agent's check, where it runs beside the apps. */
export function renderOpenMetrics(): string {
  const instances = [
    instance("http://ingest:9464/metrics", metricsOf("ingest")),
    instance("http://worker:3001/metrics", metricsOf("worker")),
  ];
  const head = `${HEAD} For the Datadog agent: conf.d/openmetrics.d/conf.yaml.\n# The agent's environment needs METRICS_TOKEN.\n`;
  return head + stringify({ init_config: {}, instances }, { lineWidth: 0 });
}

/** The same as annotations of the pods, for an agent that finds them by itself. */
export function renderAnnotations(): string {
  const check = (app: "ingest" | "worker", port: number) =>
    JSON.stringify({ openmetrics: { instances: [instance(`http://%%host%%:${port}/metrics`, metricsOf(app))] } });
  const annotations = {
    "ad.datadoghq.com/ingest.checks": check("ingest", 9464),
    "ad.datadoghq.com/worker.checks": check("worker", 3001),
  };
  const head = `${HEAD} For pods whose containers are called ingest and worker;\n# the agent's environment needs METRICS_TOKEN.\n`;
  return head + stringify({ annotations }, { lineWidth: 0 });
}
