import { changedDestination, type DestinationView, newDestination } from "@calendly-worker/core/outcomes/destination";
import type { WantedLetters } from "@calendly-worker/core/outcomes/manage-destinations";
import { Command, InvalidArgumentError } from "commander";
import type { CommandPorts } from "../installation.ts";
import { tellMissing } from "../named.ts";
import { wholeOf } from "../options.ts";

interface Json {
  readonly json?: true;
}

type Listed = readonly string[] | "all";

interface Filters {
  readonly types?: Listed;
  readonly eventTypes?: Listed;
  readonly hosts?: Listed;
  readonly ordered?: boolean;
  readonly concurrency?: number;
}

export function destinationsCommand(ports: CommandPorts): Command {
  return new Command("destinations")
    .description("Where outcomes are pushed to: HTTP endpoints of internal services, signed after Standard Webhooks.")
    .addCommand(listCommand(ports))
    .addCommand(showCommand(ports))
    .addCommand(addCommand(ports))
    .addCommand(changeCommand(ports))
    .addCommand(pausingCommand(ports, "pause", true))
    .addCommand(pausingCommand(ports, "resume", false))
    .addCommand(rotateSecretCommand(ports))
    .addCommand(removeCommand(ports))
    .addCommand(deadLettersCommand(ports))
    .addCommand(redeliverCommand(ports))
    .addCommand(dropCommand(ports));
}

function listCommand({ open, say }: CommandPorts): Command {
  return new Command("list")
    .description("Lists the destinations and how pushing to them goes.")
    .option("--json", "print JSON")
    .action(async ({ json }: Json) => {
      const { destinations } = await open();
      const all = await destinations.list();
      if (json) return say(JSON.stringify(all));
      if (all.length === 0) return say("There is no destination.");
      for (const one of all) say(inWords(one));
    });
}

function showCommand({ open, say }: CommandPorts): Command {
  return new Command("show")
    .description("Shows one destination. Its secrets are never shown again.")
    .argument("<id>", "as `destinations list` gives it")
    .option("--json", "print JSON")
    .action(async (id: string, { json }: Json) => {
      const { destinations } = await open();
      const found = await there(id, destinations.find(id));
      say(json ? JSON.stringify(found) : inWords(found));
    });
}

function addCommand({ open, say, note }: CommandPorts): Command {
  return filtering(new Command("add"))
    .description("Pushes outcomes to a URL from now on. Prints the secret that deliveries are signed with, once.")
    .argument(
      "<url>",
      "https:// or http://; loopback and private addresses only as CALENDLY_DESTINATION_ALLOW names them",
    )
    .option("--json", "print JSON")
    .addHelpText("after", "\nWithout these options it gets all outcomes, in any order, with five requests at once.")
    .action(async (url: string, { json, ...filters }: Filters & Json) => {
      const { destinations } = await open();
      const wanted = newDestination.safeParse({ url, ...withoutAll(filters) });
      if (!wanted.success) throw new Error(problemsOf(wanted.error.issues));
      const added = await destinations.add(wanted.data);
      if (json) return say(JSON.stringify(added));
      say(inWords(added));
      note("The secret, shown here and never again:");
      say(added.secret);
    });
}

function changeCommand({ open, say }: CommandPorts): Command {
  return filtering(new Command("change"))
    .description("Changes a destination; what is not given stays as it is. What waits already is pushed all the same.")
    .argument("<id>", "as `destinations list` gives it")
    .option("--url <url>", "where to push to from now on")
    .option("--json", "print JSON")
    .action(async (id: string, { json, ...changes }: Filters & Json & { url?: string }) => {
      const { destinations } = await open();
      const wanted = changedDestination.safeParse(withoutAll(changes));
      if (!wanted.success) throw new Error(problemsOf(wanted.error.issues));
      const changed = await there(id, destinations.change(id, wanted.data));
      say(json ? JSON.stringify(changed) : inWords(changed));
    });
}

function pausingCommand({ open, say }: CommandPorts, name: "pause" | "resume", isPaused: boolean): Command {
  return new Command(name)
    .description(
      isPaused
        ? "Pushes nothing there for now; outcomes wait."
        : "Lets a paused destination go on, with what has waited for it.",
    )
    .argument("<id>", "as `destinations list` gives it")
    .option("--json", "print JSON")
    .action(async (id: string, { json }: Json) => {
      const { destinations } = await open();
      const changed = await there(id, destinations.change(id, { isPaused }));
      say(json ? JSON.stringify(changed) : inWords(changed));
    });
}

function rotateSecretCommand({ open, say, note }: CommandPorts): Command {
  return new Command("rotate-secret")
    .description("Gives a destination a new secret. For a while deliveries are signed with the old one too.")
    .argument("<id>", "as `destinations list` gives it")
    .option("--overlap <seconds>", "how long the old one is used too; 0 for one that has leaked", wholeOf, 86_400)
    .option("--json", "print JSON")
    .action(async (id: string, { overlap, json }: Json & { overlap: number }) => {
      const { destinations } = await open();
      const rotated = await there(id, destinations.rotateSecret(id, overlap * 1_000));
      if (json) return say(JSON.stringify(rotated));
      note("The new secret, shown here and never again:");
      say(rotated.secret);
    });
}

function removeCommand({ open, say }: CommandPorts): Command {
  return new Command("remove")
    .description("Pushes nothing there any more, and forgets what waits for it and its dead letters.")
    .argument("<id>", "as `destinations list` gives it")
    .option("--json", "print JSON")
    .action(async (id: string, { json }: Json) => {
      const { destinations } = await open();
      await there(
        id,
        destinations.remove(id).then((wasThere) => wasThere || undefined),
      );
      say(json ? JSON.stringify({ removed: id }) : `Removed ${id}`);
    });
}

function deadLettersCommand({ open, say }: CommandPorts): Command {
  return new Command("dead-letters")
    .description("Lists outcomes that a destination would not take, the newest first.")
    .argument("<id>", "as `destinations list` gives it")
    .option("--json", "print JSON")
    .action(async (id: string, { json }: Json) => {
      const { destinations } = await open();
      const letters = await there(id, destinations.deadLetters(id, Number.MAX_SAFE_INTEGER));
      if (json) return say(JSON.stringify(letters));
      if (letters.length === 0) return say("There is no dead letter.");
      for (const { id: outcome, reason, attempts, failedAt } of letters) {
        say(`${outcome}\n  ${reason}, given up ${failedAt ?? "at an unknown time"} after ${attempts} tries`);
      }
    });
}

type Choice = Json & { readonly all?: true; readonly dryRun?: true };

function redeliverCommand(ports: CommandPorts): Command {
  const { open, say } = ports;
  return choosing(new Command("redeliver"), "pushed")
    .description("Pushes dead letters again: those of the outcomes that are named, or all.")
    .action(async (id: string, outcomes: string[], choice: Choice) => {
      const wanted = wantedBy(outcomes, choice);
      const { destinations } = await open();
      const redelivered = await there(id, destinations.redeliver(id, wanted));
      tellMissing(ports, outcomes, new Set(redelivered), "dead letters");
      if (choice.json) return say(JSON.stringify({ redelivered, dryRun: wanted.dryRun }));
      for (const outcome of redelivered) say(outcome);
      say(`${redelivered.length} ${wanted.dryRun ? "would be" : "are"} pushed again.`);
    });
}

function dropCommand(ports: CommandPorts): Command {
  const { open, say } = ports;
  return choosing(new Command("drop"), "dropped")
    .description("Forgets dead letters, which are not pushed any more: those of the outcomes that are named, or all.")
    .action(async (id: string, outcomes: string[], choice: Choice) => {
      const wanted = wantedBy(outcomes, choice);
      const { destinations } = await open();
      const dropped = await there(id, destinations.drop(id, wanted));
      tellMissing(ports, outcomes, new Set(dropped), "dead letters");
      if (choice.json) return say(JSON.stringify({ dropped, dryRun: wanted.dryRun }));
      for (const outcome of dropped) say(outcome);
      say(`${dropped.length} ${wanted.dryRun ? "would be" : "are"} dropped.`);
    });
}

function choosing(command: Command, done: string): Command {
  return command
    .argument("<id>", "as `destinations list` gives it")
    .argument("[outcomes...]", "ids of outcomes, as `destinations dead-letters` gives them")
    .option("--all", "all of them")
    .option("--dry-run", `only say what would be ${done}`)
    .option("--json", "print JSON");
}

function wantedBy(outcomes: readonly string[], { all, dryRun }: Choice): WantedLetters {
  if (outcomes.length > 0 === (all === true)) throw new Error("expected ids of outcomes, or --all");
  return { outcomes: all ? undefined : outcomes, dryRun: dryRun === true };
}

/** Options that say what a destination gets. */
function filtering(command: Command): Command {
  return command
    .option("--types <types>", "types of outcomes, separated by commas; or: all", listOrAll)
    .option("--event-types <event types>", "URIs or ids, separated by commas; or: all", listOrAll)
    .option("--hosts <users>", "URIs or ids, separated by commas; or: all", listOrAll)
    .option("--ordered", "an outcome waits for the one before it of the same booking")
    .option("--no-ordered", "it does not")
    .option("--concurrency <requests>", "requests at once, 1 to 100", wholeOf);
}

/** Commander takes null for nothing given, so that "all" is turned into it later. */
function listOrAll(text: string): Listed {
  if (text === "all") return text;
  const items = text.split(",").map((item) => item.trim());
  if (items.some((item) => item === ""))
    throw new InvalidArgumentError("expected names separated by commas, or `all`.");
  return items;
}

function withoutAll(options: object): object {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, value === "all" ? null : value]));
}

function problemsOf(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  return issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n");
}

async function there<T>(id: string, found: Promise<T | undefined>): Promise<T> {
  const result = await found;
  if (result === undefined)
    throw new Error(`there is no destination "${id}": \`calendly destinations list\` shows them`);
  return result;
}

function inWords(one: DestinationView): string {
  const wants = [
    one.types === null ? "all types" : one.types.join(", "),
    ...(one.eventTypes === null ? [] : [`event types ${one.eventTypes.join(", ")}`]),
    ...(one.hosts === null ? [] : [`hosts ${one.hosts.join(", ")}`]),
    ...(one.ordered ? ["in order"] : []),
  ];
  const state =
    one.paused !== null
      ? `paused (${one.paused})`
      : one.failingSince !== null
        ? `failing since ${one.failingSince}: ${one.lastFailure}`
        : one.lastDeliveredAt === null
          ? "nothing delivered yet"
          : `well, last delivered ${one.lastDeliveredAt}`;
  return `${one.id}  ${one.url}\n  ${wants.join("; ")}\n  ${state}; ${one.waiting} waiting, ${one.deadLetters} dead letters`;
}
