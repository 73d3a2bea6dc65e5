import { METRICS, type MetricSpec, OPEN_SETS } from "./metrics.ts";

const TOLD_BY: Readonly<Record<MetricSpec["by"], string>> = {
  ingest: "ingest",
  worker: "worker",
  both: "ingest, worker",
  fleet: "every worker, the same",
};

/** `docs/metrics.md`: every metric with its labels, as GitHub-flavoured Markdown. */
export function renderMetrics(): string {
  const rows = Object.values<MetricSpec>(METRICS).map(({ kind, name, help, by, labels }) => {
    const shown = Object.entries(labels).map(([label, values]) => {
      const said = typeof values === "string" ? OPEN_SETS[values] : values.map((value) => `\`${value}\``).join(" ");
      return `\`${label}\`: ${said}`;
    });
    return `| \`${name}\` | ${kind} | ${TOLD_BY[by]} | ${help.replaceAll("|", "\\|")} | ${shown.join("; ")} |`;
  });
  return `# Metrics

Made by \`pnpm generate\` from \`packages/core/src/telemetry/metrics.ts\`.

The ingest tells its own at \`INGEST_METRICS_HOST\`:\`INGEST_METRICS_PORT\`, the worker at its internal face, both under \`/metrics\` and
to whoever bears \`METRICS_TOKEN\`. Both also tell what \`prom-client\` knows of every process: \`process_*\` and \`nodejs_*\`, the lag of the
event loop among it.

What *every worker* tells is read from Redis and is the same wherever one asks: take the \`max\`, never the sum. All else is
counted by a process since its start: take the \`sum\` of \`rate\` or \`increase\`.

No label holds anything that a delivery says but its event, as one of a closed list.

| metric | kind | told by | meaning | labels |
|---|---|---|---|---|
${rows.join("\n")}
`;
}
