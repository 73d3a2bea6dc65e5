import { expect, test } from "@jest/globals";
import { fuzz } from "./run.ts";

// The short form of `pnpm fuzz`, with a seed of its own each day.

const INPUTS = 20_000;
const SEED = Number(process.env["FUZZ_SEED"] ?? Math.floor(Date.now() / 86_400_000));

test(`${INPUTS} inputs, seed ${SEED}: strangers are held off, and whatever is signed is taken`, async () => {
  const report = await fuzz(INPUTS, SEED, () => {});
  process.stdout.write(`${JSON.stringify(report)}\n`);
  const { dead, answers } = report;
  expect(dead).toBe(0);
  // Each kind of answer was met: the inputs get past the first line, and do not all get past the last one.
  for (const status of [200, 400, 401, 404, 405]) expect(answers[status]).toBeGreaterThan(10);
}, 720_000);
