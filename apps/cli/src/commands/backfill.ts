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
      const report = await compareRange(installation, range, note, ({ seen, read }) =>
        note(`${seen} events seen, ${read} read …`),
      );
      const found = await findHistory(installation);
      const history = countOf(found);
      if (!json) for (const line of reportLines(report)) say(line);
      if (!publish) {
        if (json) return say(JSON.stringify({ ...report, history, published: 0 }));
        return say(`${inWords(history)} of history can be published with --publish.`);
      }
      note(`About to publish ${inWords(history)} of history, each marked \`historical\`.`);
      const agreed = history.outcomes === 0 || yes === true || (await isAgreed(input));
      if (agreed && history.outcomes > 0) {
        await tellHistory(installation, { kind: "history", name: `backfill-${randomUUID()}` }, note);
      }
      const now = await findHistory(installation);
      // What has become history meanwhile was not asked for.
      const left = countOf(new Map([...found].filter(([id]) => now.has(id))));
      const published = history.outcomes - left.outcomes;
      if (json) say(JSON.stringify({ ...report, history, published }));
      else say(agreed ? `Published ${published} outcomes.` : "Nothing was published.");
      if (agreed && left.outcomes > 0) {
        throw new Error(
          `${inWords(left)} of history are left: the job has ended without them, and the worker's log says why. Run this again once that is mended: nothing is published twice.`,
        );
      }
    });
}

/** How many outcomes are history, of each booking all of which is. */
type History = ReadonlyMap<string, number>;

async function findHistory({ shards, bookings }: Installation): Promise<History> {
  const found = new Map<string, number>();
  for (const shard of shards.all) {
    for await (const id of bookings.ids(shard)) {
      const { booking } = await bookings.load(id);
      if (isHistory(booking)) found.set(id, booking.quiet.length);
    }
  }
  return found;
}

interface Count {
  readonly bookings: number;
  readonly outcomes: number;
}

function countOf(history: History): Count {
  return { bookings: history.size, outcomes: [...history.values()].reduce((sum, count) => sum + count, 0) };
}

function inWords({ bookings, outcomes }: Count): string {
  return `${outcomes} outcomes of ${bookings} bookings`;
}

/** Rejects where nobody can be asked: who asked for publishing must not take that for done. */
async function isAgreed(input: NodeJS.ReadableStream): Promise<boolean> {
  const terminal = createInterface({ input, output: process.stderr });
  const ended = new Promise<undefined>((resolve) => terminal.once("close", () => resolve(undefined)));
  const answer = await Promise.race([terminal.question("Publish them? [yes/no] "), ended]);
  terminal.close();
  if (answer === undefined) {
    throw new Error(
      "Nobody answered: nothing was published. Where nobody can be asked, --yes publishes without asking.",
    );
  }
  return /^y(es)?$/i.test(answer.trim());
}
