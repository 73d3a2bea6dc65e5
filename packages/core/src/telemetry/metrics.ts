import { Gauge, Registry } from "prom-client";

/** How the last comparison of a band of events with Calendly's API ended. */
export interface Comparison {
  readonly band: string;
  /** In ms. */
  readonly endedAt: number;
  readonly seen: number;
  readonly facts: number;
  readonly missed: Readonly<Record<string, number>>;
  readonly longestLagMs: number;
}

/** Every metric of the project, in Prometheus' text format. Labels come from closed sets. */
export interface Metrics {
  readonly contentType: string;
  /** Rejects when what is measured cannot be read. */
  text(): Promise<string>;
}

/** What is kept in Redis is read when it is asked for: every worker tells the same. */
export function createMetrics(read: { readonly comparisons: () => Promise<readonly Comparison[]> }): Metrics {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: readonly string[]) =>
    new Gauge({ name: `calendly_reconciliation_${name}`, help, labelNames: [...labelNames], registers: [registry] });
  const ofBand = ["band"];
  const events = gauge("events", "Scheduled events that the last comparison has seen.", ofBand);
  const facts = gauge("facts", "Facts about the invitees that it has read, history left out.", ofBand);
  const missed = gauge("missed", "Those among them that no delivery had told.", ["band", "event"]);
  const ratio = gauge("missed_ratio", "Missed facts by all facts, 0 to 1; absent where there was no fact.", ofBand);
  const lag = gauge("lag_seconds", "Age of the oldest missed fact when it was found.", ofBand);
  const ended = gauge("ended_timestamp_seconds", "When the last comparison ended, Unix time.", ofBand);

  return {
    contentType: registry.contentType,
    async text() {
      const comparisons = await read.comparisons();
      registry.resetMetrics();
      for (const comparison of comparisons) {
        const { band } = comparison;
        events.set({ band }, comparison.seen);
        facts.set({ band }, comparison.facts);
        lag.set({ band }, comparison.longestLagMs / 1_000);
        ended.set({ band }, comparison.endedAt / 1_000);
        let total = 0;
        for (const [event, count] of Object.entries(comparison.missed)) {
          missed.set({ band, event }, count);
          total += count;
        }
        if (comparison.facts > 0) ratio.set({ band }, total / comparison.facts);
      }
      return await registry.metrics();
    },
  };
}
