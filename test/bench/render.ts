import { boundOf, type Figure, inDigits, isKept } from "./figures.ts";
import type { Machine } from "./machine.ts";

/** What was measured, and where. */
export interface Benchmark {
  readonly measuredAt: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly figures: readonly Figure[];
}

/** As Markdown. */
export function renderBenchmark({ measuredAt, machine, rounds, figures }: Benchmark): string {
  const { cpu, cores, memoryGb, system, node, redis } = machine;
  const head = [
    `Measured on ${measuredAt.slice(0, 10)}: ${cpu}, ${cores} cores, ${memoryGb} GB, ${system}, Node ${node}, Redis ${redis} with \`appendfsync everysec\`;`,
    `medians of ${rounds} rounds or more, in brackets the least and the most.`,
  ];
  const rows = figures.map((one) => {
    const { part, what, unit, ours, against, ratio } = one;
    const kept = isKept(one);
    const cells = [
      `${part}: ${what}`,
      `${inDigits(ours.median)} ${unit}${ours.least === ours.most ? "" : ` (${inDigits(ours.least)} to ${inDigits(ours.most)})`}`,
      against === undefined ? "" : `${inDigits(against.median)}, ${against.name}`,
      ratio === undefined ? "" : ratio.toFixed(2),
      kept === undefined ? "" : `${boundOf(one)}${kept ? "" : " **not kept**"}`,
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [...head, "", "| what | here | against | ratio | aim |", "|---|---|---|---|---|", ...rows].join("\n");
}

const RATES = [10, 100, 1_000, 10_000, 100_000];
/** Of each core: what is left of it is for what comes in waves. */
const SHARE = 0.6;

/** What so many deliveries a second would need, each of them a fact: cores of the measured machine, as Markdown. */
export function renderNeeds({ figures }: Benchmark): string {
  const cpuOf = (part: string, what: string) => {
    const found = figures.find((one) => one.part === part && one.what === what);
    if (found === undefined) throw new Error(`docs/benchmark.json has no figure "${part}: ${what}"`);
    return found.ours.median;
  };
  const ingest = cpuOf("ingest", "CPU per delivery");
  const worker = cpuOf("worker", "CPU per fact");
  const redis = cpuOf("ingest", "CPU of Redis per delivery") + cpuOf("worker", "CPU of Redis per fact");
  const cores = (us: number, rate: number) => {
    const needed = (us * rate) / 1e6 / SHARE;
    return needed < 0.1 ? "< 0.1" : needed < 10 ? needed.toFixed(1) : String(Math.ceil(needed));
  };
  const rows = RATES.map((rate) => {
    const cells = [rate.toLocaleString("en"), cores(ingest, rate), cores(worker, rate), cores(redis, rate)];
    return `| ${[...cells, String(Math.max(1, Math.ceil((redis * rate) / 1e6 / SHARE)))].join(" | ")} |`;
  });
  return [
    `Of ${inDigits(ingest)} µs of an ingest, ${inDigits(worker)} µs of a worker and ${inDigits(redis)} µs of Redis for each delivery and its fact:`,
    "",
    "| deliveries a second | cores of ingests | cores of workers | cores of Redis | `CALENDLY_SHARDS`, at least |",
    "|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}
