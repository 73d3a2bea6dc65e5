import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import {
  type CounterName,
  type GaugeName,
  type HistogramName,
  type LabelsOf,
  METRICS,
  type MetricName,
  type MetricSpec,
} from "./metrics.ts";

/** Counts, times and tells, in Prometheus' text format. */
export interface Meter {
  readonly contentType: string;
  count<Name extends CounterName>(name: Name, labels: LabelsOf<Name>, by?: number): void;
  observe<Name extends HistogramName>(name: Name, labels: LabelsOf<Name>, value: number): void;
  /** Asks for the values of a gauge, or the total of a counter, whenever it is told; what is not given is absent. */
  read(read: (tell: Tell) => Promise<void>): void;
  text(): Promise<string>;
}

/** A value as it is now; of a counter its total. */
export type Tell = <Name extends GaugeName | CounterName>(name: Name, labels: LabelsOf<Name>, value: number) => void;

/**
 * More values than that of one label are told as "other": nothing that is counted by mistake, and nobody who sends
 * something, fills the memory of whoever asks.
 */
const MOST_VALUES = 200;
const OTHER = "other";

export function createMeter(app: "ingest" | "worker"): Meter {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const seen = new Map<string, Set<string>>();
  const readers: ((tell: Tell) => Promise<void>)[] = [];

  const counters = new Map<MetricName, Counter>();
  const gauges = new Map<MetricName, Gauge>();
  const histograms = new Map<MetricName, Histogram>();
  for (const [key, spec] of Object.entries(METRICS) as [MetricName, MetricSpec][]) {
    const isTold = spec.by === "both" || spec.by === app || (spec.by === "fleet" && app === "worker");
    if (!isTold) continue;
    const { name, help } = spec;
    const options = { name, help, labelNames: Object.keys(spec.labels), registers: [registry] };
    if (spec.kind === "counter") {
      const counter = new Counter(options);
      // What is counted for the first time would else be no increase, but something new.
      for (const labels of combinationsOf(spec.labels)) counter.inc(labels, 0);
      counters.set(key, counter);
    } else if (spec.kind === "gauge") gauges.set(key, new Gauge(options));
    else histograms.set(key, new Histogram({ ...options, buckets: [...(spec.buckets ?? [])] }));
  }

  /** Closed: a value that is not in the label's list, or one too many, is "other". */
  function closed(key: MetricName, labels: Readonly<Record<string, string>>): Record<string, string> {
    const spec: MetricSpec = METRICS[key];
    const told: Record<string, string> = {};
    for (const [label, values] of Object.entries(spec.labels)) {
      const value = labels[label] ?? OTHER;
      if (typeof values !== "string") {
        told[label] = values.includes(value) ? value : OTHER;
        continue;
      }
      const known = seen.get(`${key}/${label}`) ?? new Set();
      seen.set(`${key}/${label}`, known);
      if (known.size < MOST_VALUES) known.add(value);
      told[label] = known.has(value) ? value : OTHER;
    }
    return told;
  }

  function must<Instrument>(all: ReadonlyMap<MetricName, Instrument>, key: MetricName): Instrument {
    const instrument = all.get(key);
    if (instrument === undefined) throw new TypeError(`${METRICS[key].name} is none of the ${app}'s metrics`);
    return instrument;
  }

  const tell: Tell = (key, labels, value) => {
    const gauge = gauges.get(key);
    if (gauge !== undefined) gauge.set(closed(key, labels), value);
    else must(counters, key).inc(closed(key, labels), value);
  };
  /** Counters that are read anew each time, and must not be told when they cannot be read; the fleet's from the start on. */
  const readAnew = new Set([...counters.keys()].filter((key) => METRICS[key].by === "fleet"));

  async function collect(): Promise<string> {
    const told: Parameters<Tell>[] = [];
    for (const read of readers) await read((...values) => void told.push(values));
    for (const [key] of told) if (counters.has(key)) readAnew.add(key);
    for (const gauge of gauges.values()) forget(gauge);
    for (const key of readAnew) forget(must(counters, key));
    for (const values of told) tell(...values);
    return await registry.metrics();
  }
  /** Two at once would reset what the other has just read. */
  let collecting: Promise<string> | undefined;

  return {
    contentType: registry.contentType,
    count: (key, labels, by = 1) => must(counters, key).inc(closed(key, labels), by),
    observe: (key, labels, value) => must(histograms, key).observe(closed(key, labels), value),
    read(read) {
      readers.push(read);
    },
    async text() {
      collecting ??= collect().finally(() => {
        collecting = undefined;
      });
      return await collecting;
    },
  };
}

/**
 * What is not told now is absent. After a reset alone, one without labels would be told as 0: Prometheus takes that for a
 * counter that has begun anew, and the next total for as many events.
 */
function forget(instrument: Pick<Gauge | Counter, "reset" | "remove">): void {
  instrument.reset();
  instrument.remove({});
}

/** Begun at zero, so many at most. */
const MOST_COMBINATIONS = 60;

/** Of labels that are closed lists all values with each other; none where one is open, or there are too many. */
function combinationsOf(labels: MetricSpec["labels"]): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries(labels)) {
    if (typeof values === "string") return [];
    all = all.flatMap((known) => values.map((value) => ({ ...known, [label]: value })));
  }
  return all.length <= MOST_COMBINATIONS ? all : [];
}
