import { expect, test } from "@jest/globals";
import { buildPreviousRelease } from "../support/previous-release.ts";
import { FAULTS, type Fault, isPossible } from "./faults.ts";
import { run } from "./run.ts";
import { headOfTable, lineOfTable } from "./table.ts";

// The short form of `pnpm chaos`: each fault once, with a seed of its own each day, so that many are tried in the end.

const SEED = Number(process.env["CHAOS_SEED"] ?? Math.floor(Date.now() / 86_400_000));
const OPTIONS = { seed: SEED, deliveriesPerSecond: 40, calmMs: 500, faultMs: 1_500 };

// It takes a minute on a clean checkout: the rows that need it come later, and say what is wrong with it.
void buildPreviousRelease().catch(() => {});

// Fail-overs are mostly waited for: they leave the processors to that build.
const isFailOver = ({ installation: { hasSentinels, isCluster } = {} }: Fault) => Boolean(hasSentinels || isCluster);
const ROWS = FAULTS.filter(isPossible).sort((one, other) => Number(isFailOver(other)) - Number(isFailOver(one)));

test.concurrent.each(ROWS)(
  "$name: nothing lost, nothing doubled, nobody let in",
  async (fault) => {
    const row = await run(fault, OPTIONS);
    process.stdout.write(`${headOfTable()}\n${lineOfTable(row)}\n`);
    const { ledger, forgedAndAccepted } = row;
    const { acknowledged, folded, quarantined, dead, waiting, lost, doubled, wrong } = ledger;
    expect({ seed: SEED, doubled, wrong, forgedAndAccepted }).toEqual({
      ...{ seed: SEED, doubled: [], wrong: [] },
      forgedAndAccepted: 0,
    });
    // Who lies in a dead letter, or waits when all has been settled, has no outcome either.
    expect({ seed: SEED, dead }).toEqual({ seed: SEED, dead: 0 });
    if (fault.mayLose === undefined)
      expect({ seed: SEED, lost, waiting }).toEqual({ seed: SEED, lost: [], waiting: 0 });
    expect(folded + quarantined + dead + waiting + lost.length).toBe(acknowledged);
    // Fewer would show nothing.
    expect(ledger.outcomes).toBeGreaterThan(50);
  },
  900_000,
);

const impossible = FAULTS.filter((fault) => !isPossible(fault));
if (impossible.length > 0) test.skip.each(impossible)("$name: cannot be brought about here", () => {});
