import { randomUUID } from "node:crypto";
import { Command } from "commander";
import { compareRange, reportLines, requireWorker } from "../comparison.ts";
import type { CommandPorts } from "../installation.ts";
import { timeOf } from "../options.ts";

interface Options {
  readonly from?: string;
  readonly to?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

const DAY_MS = 86_400_000;

export function reconcileCommand({ open, say, note }: CommandPorts): Command {
  return new Command("reconcile")
    .description(
      "Has a worker compare scheduled events with Calendly's API, and take up what no delivery has told. It goes on when this command is ended.",
    )
    .option(
      "--from <time>",
      "events that begin then or later, ISO 8601 (default: as far back as the past is compared)",
      timeOf,
    )
    .option("--to <time>", "events that begin before then, ISO 8601 (default: without an end)", timeOf)
    .option("--dry-run", "only say what is missing")
    .option("--json", "print JSON")
    .action(async ({ from, to, dryRun, json }: Options) => {
      const installation = await open();
      await requireWorker(installation);
      const pastMs = installation.config.CALENDLY_RECONCILE_PAST_DAYS * DAY_MS;
      const range = {
        kind: "range",
        name: `command-${randomUUID()}`,
        from: from ?? new Date(Date.now() - pastMs).toISOString(),
        to: to ?? null,
        graceMs: installation.config.CALENDLY_RECONCILE_GRACE * 1_000,
        isDryRun: dryRun === true,
      } as const;
      const report = await compareRange(installation, range, note, ({ seen, read, cursor }) =>
        note(`${seen} events seen, ${read} read, up to ${cursor?.start ?? "the beginning"} …`),
      );
      if (json) return say(JSON.stringify(report));
      for (const line of reportLines(report)) say(line);
    });
}
