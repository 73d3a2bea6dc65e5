import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline/promises";
import { isHistory } from "@calendly-worker/core/bookings/history";
import { Command } from "commander";
import { compareRange, reportLines, requireWorker, tellHistory } from "../comparison.ts";
import type { CommandPorts, Installation } from "../installation.ts";
import { timeOf } from "../options.ts";

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly publish?: true;
  readonly yes?: true;
  readonly json?: true;
}

const DAY_MS = 86_400_000;

export function backfillCommand({ open, input, say, note }: CommandPorts): Command {
  return new Command("backfill")
    .description(
      "Takes up what Calendly's API knows, as far back as bookings are kept. What happened before this installation began is told to nobody, unless --publish says so.",
    )
    .option(
      "--from <time>",
      "events that begin then or later, ISO 8601 (default: CALENDLY_BOOKING_RETENTION_DAYS back)",
      timeOf,
    )
    .option("--to <time>", "events that begin before then, ISO 8601 (default: without an end)", timeOf)
    .option("--publish", "publish the history too, each outcome marked `historical`")
    .option("--yes", "do not ask before publishing")
    .option("--json", "print JSON")
    .action(async ({ from, to, publish, yes, json }: Options) => {
      const installation = await open();
      await requireWorker(installation);
      const back = Date.now() - installation.config.CALENDLY_BOOKING_RETENTION_DAYS * DAY_MS;
      const range = {
        kind: "range",
        name: `backfill-${randomUUID()}`,
        from: from ?? new Date(back).toISOString(),
        to: to ?? null,
        graceMs: 0,
        isDryRun: false,
      } as const;
      const report = await compareRange(installation, range, ({ seen, read }) =>
        note(`${seen} events seen, ${read} read …`),
      );
      const history = await countHistory(installation);
      if (!json) for (const line of reportLines(report)) say(line);
      if (!publish) {
        if (json) return say(JSON.stringify({ ...report, history, published: 0 }));
        return say(`${inWords(history)} of history can be published with --publish.`);
      }
      note(`About to publish ${inWords(history)} of history, each marked \`historical\`.`);
      const agreed = history.outcomes === 0 || yes === true || (await isAgreed(input));
      if (agreed && history.outcomes > 0) {
        await tellHistory(installation, { kind: "history", name: `backfill-${randomUUID()}` });
      }
      const left = await countHistory(installation);
      const published = history.outcomes - left.outcomes;
      if (json) return say(JSON.stringify({ ...report, history, published }));
      say(agreed ? `Published ${published} outcomes.` : "Nothing was published.");
    });
}

interface History {
  readonly bookings: number;
  readonly outcomes: number;
}

async function countHistory({ shards, bookings }: Installation): Promise<History> {
  const seen = new Set<string>();
  let outcomes = 0;
  for (const shard of shards.all) {
    for await (const id of bookings.ids(shard)) {
      if (seen.has(id)) continue;
      const { booking } = await bookings.load(id);
      if (!isHistory(booking)) continue;
      seen.add(id);
      outcomes += booking.quiet.length;
    }
  }
  return { bookings: seen.size, outcomes };
}

function inWords({ bookings, outcomes }: History): string {
  return `${outcomes} outcomes of ${bookings} bookings`;
}

/** Who cannot be asked has not agreed. */
async function isAgreed(input: NodeJS.ReadableStream): Promise<boolean> {
  const terminal = createInterface({ input, output: process.stderr });
  const ended = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  const answer = await Promise.race([terminal.question("Publish them? [yes/no] "), ended]);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}
