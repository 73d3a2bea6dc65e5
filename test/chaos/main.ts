import { parseArgs } from "node:util";
import { FAULTS, isPossible } from "./faults.ts";
import { type Row, run } from "./run.ts";
import { faultsOf, headOfTable, LEGEND, lineOfTable } from "./table.ts";

// The whole matrix of faults, or those whose name holds a word. Exit 1 where something was lost, doubled or wrong.

const USAGE = `pnpm chaos [options]

  --fault WORD      only faults whose name holds it
  --seed N          of the first round; each further round counts on (default 1)
  --rounds N        how often each fault is brought about (default 1)
  --rate N          deliveries a second (default 150)
  --seconds N       how long a fault lasts that has no length of its own (default 10; 60 outlasts every time-out)
  --json            a line of JSON for each fault, instead of the table
`;

const { values } = parseArgs({
  options: {
    fault: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "1" },
    rate: { type: "string", default: "150" },
    seconds: { type: "string", default: "10" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function whole(name: "seed" | "rounds" | "rate" | "seconds"): number {
  const number = Number(values[name]);
  if (Number.isInteger(number) && number > 0) return number;
  process.stderr.write(`--${name} must be a whole number above 0, not "${values[name]}"\n\n${USAGE}`);
  process.exit(2);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

if (values.help) {
  say(USAGE);
  process.exit(0);
}
const chosen = FAULTS.filter(({ name }) => name.toLowerCase().includes(values.fault.toLowerCase()));
if (chosen.length === 0) {
  process.stderr.write(`no fault's name holds "${values.fault}"; there are:\n`);
  for (const { name } of FAULTS) process.stderr.write(`  ${name}\n`);
  process.exit(2);
}
const [seed, rounds, rate, seconds] = (["seed", "rounds", "rate", "seconds"] as const).map(whole) as [
  number,
  number,
  number,
  number,
];
const possible = chosen.filter(isPossible);
let bad = possible.length === 0 ? 1 : 0;

function tell(row: Row): void {
  if (values.json) {
    say(JSON.stringify(row));
    return;
  }
  say(lineOfTable(row));
  const { ledger } = row;
  const examples = [
    ...ledger.lost.map((id) => `lost: ${id}`),
    ...ledger.doubled.map((id) => `doubled: ${id}`),
    ...ledger.wrong.map((what) => `wrong: ${what}`),
  ];
  for (const line of examples.slice(0, 5)) say(`    ${line} (seed ${row.seed})`);
}

if (!values.json) say(headOfTable());
for (let round = 0; round < rounds; round++) {
  for (const fault of possible) {
    const options = { seed: seed + round, deliveriesPerSecond: rate, calmMs: 3_000, faultMs: seconds * 1_000 };
    try {
      const row = await run(fault, options);
      tell(row);
      bad += faultsOf(row);
    } catch (error) {
      bad += 1;
      say(
        values.json ? JSON.stringify({ fault: fault.name, error: String(error) }) : `${fault.name}: ${String(error)}`,
      );
    }
  }
}
if (!values.json) {
  for (const fault of chosen)
    if (!isPossible(fault)) say(`left out, as it cannot be brought about here: ${fault.name}`);
  say(`\n${LEGEND}`);
  for (const { name, mayLose } of chosen) if (mayLose !== undefined) say(`* ${name}: ${mayLose}`);
}
process.exit(bad === 0 ? 0 : 1);
