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

/** How far a group of consumers is in one shard. */
export interface GroupLag {
  readonly group: string;
  readonly shard: number;
  readonly unread: number | undefined;
  readonly pending: number;
  /** Stream id of the oldest outcome that it has not acknowledged. */
  readonly oldest: string | undefined;
}

/** Every metric of the project, in Prometheus' text format. Labels come from closed sets. */
export interface Metrics {
  readonly contentType: string;
  /** Rejects when what is measured cannot be read. */
  text(): Promise<string>;
}

/** What is kept in Redis is read when it is asked for: every worker tells the same. */
export function createMetrics(read: {
  readonly comparisons: () => Promise<readonly Comparison[]>;
  readonly groups: () => Promise<readonly GroupLag[]>;
  readonly expectations: () => Promise<Readonly<Record<string, number>>>;
  readonly now: () => number;
}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: readonly string[]) =>
    new Gauge({ name: `calendly_reconciliation_${name}`, help, labelNames: [...labelNames], registers });
  const ofGroup = { labelNames: ["group", "shard"], registers };
  const unread = new Gauge({
    name: "calendly_outcomes_group_unread",
    help: "Outcomes that a consumer group has not read.",
    ...ofGroup,
  });
  const pending = new Gauge({
    name: "calendly_outcomes_group_pending",
    help: "Outcomes that a consumer group has read and not acknowledged.",
    ...ofGroup,
  });
  const oldest = new Gauge({
    name: "calendly_outcomes_group_lag_seconds",
    help: "Age of the oldest outcome that a consumer group has not acknowledged; 0 where there is none.",
    ...ofGroup,
  });
  const expected = new Gauge({
    name: "calendly_expectations",
    help: "Announced bookings by state: waiting, completed, expired.",
    labelNames: ["state"],
    registers,
  });
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
      const [comparisons, groups, expectations] = await Promise.all([
        read.comparisons(),
        read.groups(),
        read.expectations(),
      ]);
      registry.resetMetrics();
      for (const { group, shard, oldest: oldestId, ...counts } of groups) {
        const labels = { group, shard };
        if (counts.unread !== undefined) unread.set(labels, counts.unread);
        pending.set(labels, counts.pending);
        const publishedAt = Number(oldestId?.split("-")[0] ?? read.now());
        oldest.set(labels, Math.max(read.now() - publishedAt, 0) / 1_000);
      }
      for (const [state, count] of Object.entries(expectations)) expected.set({ state }, count);
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
