import { parseArgs } from "node:util";
import { fuzz } from "./run.ts";

// Inputs made by a grammar, against the signature's check, the reading of payloads and the public port.

const USAGE = `pnpm fuzz [options]

  --inputs N   how many in all: half of them signature headers, a third payloads, the rest on the wire (default 1000000)
  --seed N     makes the run repeatable (default: drawn, and printed)
`;
const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    help: { type: "boolean", default: false },
  },
});
const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
if (values.help || !Number.isInteger(inputs) || inputs < 100 || !Number.isInteger(seed)) {
  process.stdout.write(USAGE);
  process.exit(values.help ? 0 : 2);
}
process.stdout.write(`seed ${seed}\n`);
const from = performance.now();
const report = await fuzz(inputs, seed, (what, done) => {
  const seconds = ((performance.now() - from) / 1_000).toFixed(0);
  process.stdout.write(`  ${String(done).padStart(7)} ${what} (${seconds} s)\n`);
});
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.dead === 0 ? 0 : 1);
