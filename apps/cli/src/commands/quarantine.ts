import { randomUUID } from "node:crypto";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { shapeOf } from "@calendly-worker/core/calendly/errors";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createPendingJobs, type PendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import type { Quarantined } from "@calendly-worker/core/store/quarantine";
import { Command } from "commander";
import type { CommandPorts, Installation } from "../installation.ts";
import { wholeOf } from "../options.ts";

interface Choice {
  readonly type?: string;
  readonly all?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

const ALL = 1_000_000;

export function quarantineCommand(ports: CommandPorts): Command {
  return new Command("quarantine")
    .description("Genuine deliveries that could not be taken as facts, kept whole.")
    .addCommand(listCommand(ports))
    .addCommand(showCommand(ports))
    .addCommand(replayCommand(ports))
    .addCommand(dropCommand(ports));
}

function listCommand({ open, say }: CommandPorts): Command {
  return new Command("list")
    .description("Lists what is in quarantine, the newest first.")
    .option("--limit <entries>", "how many at most", wholeOf, 100)
    .option("--json", "print JSON")
    .action(async ({ limit, json }: { limit: number; json?: true }) => {
      const { quarantine } = await open();
      const entries = (await quarantine.list(limit)).map(shown);
      if (json) return say(JSON.stringify(entries));
      if (entries.length === 0) return say("The quarantine is empty.");
      for (const { id, event, reason, receivedAt, problems } of entries) {
        say(`${id}\n  ${event}, ${reason}, received ${receivedAt}`);
        for (const problem of problems) say(`  ${problem}`);
      }
      const total = await quarantine.count(Date.now());
      if (total > entries.length) say(`… and ${total - entries.length} more: --limit shows them.`);
    });
}

function showCommand({ open, say }: CommandPorts): Command {
  return new Command("show")
    .description("Shows one entry: what did not fit, and the names and types of its fields.")
    .argument("<id>", "as `quarantine list` gives it")
    .option("--reveal", "show the delivery itself, personal data and all")
    .option("--json", "print JSON")
    .action(async (id: string, { reveal, json }: { reveal?: true; json?: true }) => {
      const entry = await find(await open(), id);
      const body = reveal ? Buffer.from(entry.body).toString("utf8") : shapeOf(parsed(entry) ?? "not JSON");
      if (json) return say(JSON.stringify({ ...shown(entry), [reveal ? "body" : "shape"]: body }));
      const { event, reason, receivedAt, problems } = shown(entry);
      say(`${id}\n  ${event}, ${reason}, received ${receivedAt}, signed with the ${entry.signedWith ?? "unknown"} key`);
      for (const problem of problems) say(`  ${problem}`);
      say(body);
    });
}

function replayCommand({ open, say, exitWith }: CommandPorts): Command {
  return choosing(new Command("replay"), "replayed")
    .description("Reads entries again, after a fix, and lets what is readable now take its way to the bookings.")
    .action(async (ids: string[], choice: Choice) => {
      const installation = await open();
      const run = randomUUID();
      // A repeat of the same fact must not be swallowed: the fold makes it count once.
      const contract: typeof deliveries = { ...deliveries, identity: ({ identity }) => `replay/${run}/${identity}` };
      const jobs = createPendingJobs({ ...installation, contract });
      try {
        const results = [];
        for (const entry of await chosen(installation, ids, choice)) {
          results.push(await replay(installation, jobs, entry, choice.dryRun === true));
        }
        if (results.some(({ result }) => result.startsWith("still"))) exitWith(1);
        if (choice.json) return say(JSON.stringify(results));
        if (results.length === 0) return say("There is nothing to replay.");
        for (const { id, result } of results) say(`${id}: ${result}`);
      } finally {
        await jobs.close();
      }
    });
}

function dropCommand({ open, say }: CommandPorts): Command {
  return choosing(new Command("drop"), "dropped")
    .description("Deletes entries. They cannot be had again.")
    .action(async (ids: string[], choice: Choice) => {
      const installation = await open();
      const results = [];
      for (const { id } of await chosen(installation, ids, choice)) {
        if (!choice.dryRun) await installation.quarantine.drop(id);
        results.push({ id, result: choice.dryRun ? "would be dropped" : "dropped" });
      }
      if (choice.json) return say(JSON.stringify(results));
      if (results.length === 0) return say("There is nothing to drop.");
      for (const { id, result } of results) say(`${id}: ${result}`);
    });
}

function choosing(command: Command, done: string): Command {
  return command
    .argument("[id...]", "the entries")
    .option("--type <event>", "all of an event, for example invitee.created")
    .option("--all", "all there are")
    .option("--dry-run", `only say what would be ${done}`)
    .option("--json", "print JSON");
}

async function chosen(
  installation: Installation,
  ids: readonly string[],
  { type, all }: Choice,
): Promise<Quarantined[]> {
  const ways = [ids.length > 0, type !== undefined, all === true].filter(Boolean).length;
  if (ways !== 1) throw new Error("expected ids, or --type, or --all: one of the three");
  if (ids.length > 0) return await Promise.all(ids.map((id) => find(installation, id)));
  const entries = await installation.quarantine.list(ALL);
  return entries.filter((entry) => all === true || eventOf(entry) === type);
}

async function replay(
  { shards }: Installation,
  jobs: PendingJobs<typeof deliveries>,
  entry: Quarantined,
  isDryRun: boolean,
): Promise<{ readonly id: string; readonly result: string }> {
  const { id, receivedAt, signedWith } = entry;
  const reading = readDelivery(entry.body);
  if (reading.kind === "unreadable") {
    return { id, result: `still unreadable: ${[reading.reason, ...reading.problems].join("; ")}` };
  }
  if (reading.kind === "unhandled") return { id, result: `still not handled: ${reading.event}` };
  const { identity, job } = reading;
  if (isDryRun) return { id, result: `would go on as ${job} (${identity})` };
  const body = Buffer.from(entry.body).toString("utf8");
  const delivery = { identity, body, receivedAt, origin: "replay", quarantined: id } as const;
  // The worker drops the entry: only it knows whether it has put it back since. Replayed twice, it counts once.
  await jobs.ensure(shards.of(identity), { ...delivery, ...(signedWith && { signedWith }) }, 0);
  return { id, result: `goes on as ${job} (${identity})` };
}

async function find({ quarantine }: Installation, id: string): Promise<Quarantined> {
  const entry = await quarantine.get(id);
  if (entry === undefined) throw new Error(`there is no entry "${id}" in quarantine`);
  return entry;
}

function shown(entry: Quarantined) {
  const { id, reason, problems, receivedAt } = entry;
  return { id, event: eventOf(entry), reason, receivedAt, problems };
}

function eventOf(entry: Quarantined): string {
  const event = (parsed(entry) as { event?: unknown } | null | undefined)?.event;
  return typeof event === "string" ? event.slice(0, 100) : "unknown";
}

function parsed({ body }: Quarantined): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
}
