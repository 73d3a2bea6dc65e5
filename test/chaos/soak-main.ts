import { parseArgs } from "node:util";
import { canBeAhead } from "../support/clock-ahead.ts";
import { type Sample, type Slope, soak } from "./soak.ts";

// Hours under load with a fault every now and then. Exit 1 where something was lost, doubled or wrong, where the heap of a
// process that lives all the time grows, or where something stays in Redis beyond its retention.

const USAGE = `pnpm soak [options]

  --hours N     how long things happen (default 1; fractions are fine)
  --rate N      deliveries a second (default 200)
  --every N     seconds from the beginning of a fault to that of the next one (default 20)
  --seed N      of what happens and of the order of faults (default 1)
  --json        the report as JSON, and nothing else
`;
const FAULT_S = 3;

const { values } = parseArgs({
  options: {
    hours: { type: "string", default: "1" },
    rate: { type: "string", default: "200" },
    every: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [hours, rate, every, seed] = [values.hours, values.rate, values.every, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
];
const isUsable = hours > 0 && rate > 0 && every > FAULT_S && Number.isInteger(seed);
if (values.help || !isUsable) {
  process.stdout.write(USAGE);
  process.exit(values.help ? 0 : 2);
}

function say(line: string): void {
  if (!values.json) process.stdout.write(`${line}\n`);
}

const HEAD = ["minutes", "acked", "refused", "waiting", "ingest MB", "worker MB", "keys", "Redis MB", "faults"];
const WIDTH = 10;
const lineOf = (cells: readonly (string | number)[]) => cells.map((cell) => String(cell).padStart(WIDTH)).join("");
let said = -1;

function tell(sample: Sample): void {
  const minute = Math.floor(sample.minutes);
  if (minute === said) return;
  said = minute;
  const { acknowledged, refused, waiting, ingestMb, workerMb, redisKeys, redisMb, faults } = sample;
  const heaps = [Math.round(ingestMb), Math.round(workerMb)];
  say(lineOf([minute, acknowledged, refused, waiting, ...heaps, redisKeys, redisMb, faults]));
}

const inWords = ({ perHour, noise }: Slope) => `${perHour.toFixed(1)} MB/h ± ${noise.toFixed(1)}`;
const grows = ({ perHour, noise }: Slope) => perHour > noise;

say(`seed ${seed}`);
say(lineOf(HEAD));
const report = await soak({
  seed,
  minutes: hours * 60,
  deliveriesPerSecond: rate,
  calmMs: (every - FAULT_S) * 1_000,
  faultMs: FAULT_S * 1_000,
  ages: canBeAhead(),
  onSample: tell,
  onProgress: (what) => say(`${what} …`),
});
const { ledger, ingestSlope, workerSlope, atStart, afterRetention } = report;
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
for (const [name, count] of Object.entries(report.faults)) say(`  ${String(count).padStart(4)} times ${name}`);
say(`facts ${ledger.acknowledged}: folded ${ledger.folded}, quarantined ${ledger.quarantined}, dead ${ledger.dead}`);
say(`outcomes ${ledger.outcomes}`);
say(`lost ${ledger.lost.length}, doubled ${ledger.doubled.length}, wrong ${ledger.wrong.length}`);
for (const what of [...ledger.lost, ...ledger.doubled, ...ledger.wrong].slice(0, 10)) say(`  ${what}`);
say(`heap: ingest ${inWords(ingestSlope)}, worker ${inWords(workerSlope)}, over the second half`);
say(`Redis: ${report.keysPerBooking.toFixed(1)} keys a booking`);
if (afterRetention === undefined) say("what is left after the retention was not looked at: that needs faketime");
else {
  const { before, after, left } = afterRetention;
  const holding = ({ keys, mb }: typeof before) => `${keys} keys, ${mb.toFixed(1)} MB`;
  say(`Redis: ${holding(atStart)} at the start; ${holding(before)} in the end; ${holding(after)} past the retention`);
  for (const name of left.slice(0, 10)) say(`  left: ${name}`);
}
const bad =
  ledger.lost.length +
  ledger.dead +
  ledger.doubled.length +
  ledger.wrong.length +
  report.forgedAndAccepted +
  (afterRetention?.left.length ?? 0);
process.exit(bad === 0 && !grows(ingestSlope) && !grows(workerSlope) ? 0 : 1);
