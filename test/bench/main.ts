import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { boundOf, type Figure, inDigits, isKept } from "./figures.ts";
import { measureGrowth } from "./growth.ts";
import { measureConnections, measureIngest } from "./ingest.ts";
import { describeMachine } from "./machine.ts";
import type { Benchmark } from "./render.ts";
import { measureShards } from "./shards.ts";
import { openStore } from "./stores.ts";
import { measureWorker } from "./worker.ts";

// Speed and memory, each figure against another one of the same run.

const PARTS = ["ingest", "worker", "growth", "shards"] as const;
type Part = (typeof PARTS)[number];

const USAGE = `pnpm bench [options]

Linux. The part growth fills a Redis with a million bookings and deliveries; --short takes a minute for all parts.

  --only PART      ${PARTS.join(", ")}; can be given several times (default: all)
  --rounds N       of each measurement, in turns with what it is held against (default 5)
  --short          as little as shows that everything works; the figures say nothing
  --write          keeps the figures in docs/benchmark.json, from which \`pnpm generate\` makes the table of the README
  --compare FILE   prints how the figures have changed against those that were kept there
  --json           the figures as JSON on standard output, and nothing else there

Exit code 1 where something came out wrong, never for a time.
`;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string" },
    short: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    compare: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const only = (values.only ?? PARTS) as Part[];
const rounds = Number(values.rounds ?? (values.short ? 1 : 5));
const isUsable = only.every((part) => PARTS.includes(part)) && Number.isInteger(rounds) && rounds > 0;
if (values.help || !isUsable) {
  (values.help ? process.stdout : process.stderr).write(USAGE);
  process.exit(values.help ? 0 : 2);
}
if (process.platform !== "linux") {
  process.stderr.write(
    `pnpm bench reads CPU and memory of processes from /proc, which Linux has and ${process.platform} has not.\n`,
  );
  process.exit(2);
}

const KEPT = new URL("../../docs/benchmark.json", import.meta.url);
const say = (line = "") => void process.stderr.write(`${line}\n`);

const size = values.short
  ? { count: 300, latencyCount: 300, bookings: 100, probes: 20, sizes: [10, 100] }
  : { count: 10_000, latencyCount: 6_000, bookings: 4_000, probes: 400, sizes: [1_000, 100_000, 1_000_000] };

const MEASURES: Readonly<Record<Part, () => Promise<Figure[]>>> = {
  ingest: async () => [...(await measureIngest({ rounds, ...size, say })), ...(await measureConnections(say))],
  worker: () => measureWorker({ rounds, ...size, say }),
  growth: () => measureGrowth({ rounds, ...size, say }),
  shards: () => measureShards({ rounds, ...size, say }),
};

const store = await openStore();
const machine = describeMachine(await store.redis.info("server"));
await store.stop();

const figures: Figure[] = [];
for (const part of PARTS) if (only.includes(part)) figures.push(...(await MEASURES[part]()));
const benchmark: Benchmark = { measuredAt: new Date().toISOString(), machine, rounds, figures };

// Before it is written to, should it be the same file.
const before =
  values.compare === undefined ? undefined : (JSON.parse(readFileSync(values.compare, "utf8")) as Benchmark);
if (values.write) writeFileSync(KEPT, `${JSON.stringify(withOthers(benchmark), null, 2)}\n`);
if (values.json) process.stdout.write(`${JSON.stringify(benchmark)}\n`);
else print(benchmark);
if (before !== undefined) compare(before);
process.exit();

/** Parts that were not measured now stay as they were kept. */
function withOthers(measured: Benchmark): Benchmark {
  if (!existsSync(KEPT)) return measured;
  const { figures: kept, rounds: before } = JSON.parse(readFileSync(KEPT, "utf8")) as Benchmark;
  const others = kept.filter(({ part }) => !only.includes(part as Part));
  const inOrder = PARTS.flatMap((part) => [...measured.figures, ...others].filter((one) => one.part === part));
  return {
    ...measured,
    rounds: others.length === 0 ? measured.rounds : Math.min(measured.rounds, before),
    figures: inOrder,
  };
}

function print({ figures }: Benchmark): void {
  process.stdout.write(
    `${"".padEnd(84)}${"ours".padStart(16)}${"against".padStart(12)}${"ratio".padStart(8)}${"bound".padStart(9)}\n`,
  );
  for (const one of figures) {
    const { part, what, unit, ours, against, ratio } = one;
    const name = `${part}: ${what}${against === undefined ? "" : ` (${against.name})`}`;
    const cells = [
      `${inDigits(ours.median)} ${unit}`.padStart(16),
      (against === undefined ? "" : inDigits(against.median)).padStart(12),
      (ratio?.toFixed(2) ?? "").padStart(8),
      boundOf(one).padStart(9),
    ];
    process.stdout.write(`${name.padEnd(84)}${cells.join("")}${isKept(one) === false ? "  not kept" : ""}\n`);
  }
}

function compare(before: Benchmark): void {
  process.stdout.write(`\nagainst ${before.measuredAt} (${before.machine.cpu}, ${before.machine.cores} cores):\n`);
  for (const { part, what, ours, against, ratio } of figures) {
    const old = before.figures.find(
      (one) => one.part === part && one.what === what && one.against?.name === against?.name,
    );
    if (old === undefined) continue;
    const [now, then] = [ratio ?? ours.median, old.ratio ?? old.ours.median];
    const name = `${part}: ${what}${against === undefined ? "" : ` (${against.name})`}`;
    process.stdout.write(
      `${name.padEnd(84)} ${inDigits(then)} → ${inDigits(now)} (${((now / then - 1) * 100).toFixed(0)} %)\n`,
    );
  }
}
