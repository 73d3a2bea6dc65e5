import type { Row } from "./run.ts";

/** What a ledger holds that must not be: 0 where all is well. */
export function faultsOf({ ledger, forgedAndAccepted, mayLose }: Row): number {
  // Who waits for ever has no outcome; where the other half was lost, nobody else is to blame.
  const lost = mayLose === undefined ? ledger.lost.length + ledger.waiting : 0;
  return lost + ledger.dead + ledger.doubled.length + ledger.wrong.length + forgedAndAccepted;
}

const COLUMNS: readonly { readonly head: string; readonly of: (row: Row) => string | number }[] = [
  { head: "fault", of: ({ fault }) => fault },
  { head: "sent", of: ({ sent }) => sent },
  { head: "ack", of: ({ acknowledged }) => acknowledged },
  { head: "refused", of: ({ refused }) => refused },
  { head: "facts", of: ({ ledger }) => ledger.acknowledged },
  { head: "quar", of: ({ ledger }) => ledger.quarantined },
  { head: "dead", of: ({ ledger }) => ledger.dead },
  { head: "wait", of: ({ ledger }) => ledger.waiting },
  { head: "outcomes", of: ({ ledger }) => ledger.outcomes },
  { head: "lost", of: ({ ledger, mayLose }) => `${ledger.lost.length}${mayLose === undefined ? "" : "*"}` },
  { head: "doubled", of: ({ ledger }) => ledger.doubled.length },
  { head: "wrong", of: ({ ledger }) => ledger.wrong.length },
  { head: "refusal", of: ({ longestRefusalMs }) => seconds(longestRefusalMs) },
  { head: "recovery", of: ({ recoveryMs }) => seconds(recoveryMs) },
];

const WIDTHS = [46, 6, 6, 7, 6, 4, 4, 4, 8, 5, 7, 5, 7, 8];

export function headOfTable(): string {
  return lineOf(COLUMNS.map(({ head }) => head));
}

export function lineOfTable(row: Row): string {
  return lineOf(COLUMNS.map(({ of }) => String(of(row))));
}

export const LEGEND = `sent: tries, repetitions and forged ones included. ack: answered 200. refused: answered otherwise or not at all, and tried
again. facts: different ones acknowledged, each folded, quarantined, a dead letter or waiting, or else lost. wrong: logs and
conflicts that are not those of what happened. refusal: the longest time in which none was taken. recovery: from the
fault's end to the next acknowledgement and outcome. *: may lose, see below.`;

function lineOf(cells: readonly string[]): string {
  return cells
    .map((cell, index) => {
      const width = WIDTHS[index] ?? 0;
      return index === 0 ? cell.padEnd(width) : cell.padStart(width);
    })
    .join(" ");
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
