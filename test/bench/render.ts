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
    `medians of ${rounds} rounds, in brackets the least and the most.`,
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
