import { setTimeout as pause } from "node:timers/promises";
import { groupAcl } from "@calendly-worker/core/outcomes/group-acl";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import { forgetGroup } from "@calendly-worker/core/store/forget-group";
import {
  type DeadLetter,
  dropDeadLetters,
  readDeadLetters,
  readGroups,
} from "@calendly-worker/core/store/outcome-groups";
import { Command, InvalidArgumentError } from "commander";
import type { CommandPorts } from "../installation.ts";
import { tellMissing } from "../named.ts";
import { timeOf } from "../options.ts";

const LOOK_EVERY_MS = 300;

export function outcomesCommand(ports: CommandPorts): Command {
  return new Command("outcomes")
    .description("What internal services are told, and the groups of consumers that read it.")
    .addCommand(tailCommand(ports))
    .addCommand(groupsCommand(ports))
    .addCommand(deadLettersCommand(ports))
    .addCommand(aclCommand(ports))
    .addCommand(forgetCommand(ports));
}

function groupsCommand({ open, say }: CommandPorts): Command {
  return new Command("groups")
    .description("Lists the groups of consumers and how far they are behind.")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: true }) => {
      const { redis, shards } = await open();
      const groups = (await Promise.all(shards.all.map((shard) => readGroups(redis, shard)))).flat();
      if (json) return say(JSON.stringify(groups.map(({ oldest, ...group }) => ({ ...group, ...agedOf(oldest) }))));
      if (groups.length === 0) return say("There is no group.");
      for (const { group, shard, unread, pending, oldest } of groups) {
        const since = agedOf(oldest).oldestAt;
        const behind =
          since === null ? "up to date" : `${unread ?? "unknown"} unread, ${pending} pending, since ${since}`;
        say(`${group}${shards.all.length > 1 ? `  shard ${shard}` : ""}  ${behind}`);
      }
    });
}

/** A stream id begins with the time, ms, of publication. */
function agedOf(oldest: string | undefined): { readonly oldestAt: string | null } {
  return { oldestAt: oldest === undefined ? null : new Date(Number(oldest.split("-")[0])).toISOString() };
}

interface DeadLetterOptions {
  readonly reveal?: true;
  readonly drop?: true;
  readonly all?: true;
  readonly dryRun?: true;
  readonly json?: true;
}

function deadLettersCommand(ports: CommandPorts): Command {
  const { open, say } = ports;
  return new Command("dead-letters")
    .description("Lists outcomes that a group of consumers has given up, or forgets that it has.")
    .argument("<group>", "as `outcomes groups` gives it")
    .argument("[outcomes...]", "with --drop: ids of outcomes, as they are listed")
    .option("--reveal", "show what the error said, which may be personal data")
    .option("--drop", "forget those that are named, or all; the group goes on where it is")
    .option("--all", "with --drop: all of them")
    .option("--dry-run", "with --drop: only say what would be dropped")
    .option("--json", "print JSON")
    .action(async (group: string, outcomes: string[], options: DeadLetterOptions) => {
      const { reveal, drop, all, dryRun, json } = options;
      if (drop) return await dropLetters(ports, group, outcomes, options);
      if (outcomes.length > 0 || all || dryRun) throw new Error("ids of outcomes, --all and --dry-run go with --drop");
      const { redis, shards } = await open();
      const letters = (await Promise.all(shards.all.map((shard) => readDeadLetters(redis, shard, group)))).flat();
      if (letters.length === 0) await requireGroup(redis, shards, group);
      if (json)
        return say(JSON.stringify(letters.map(({ reason, ...letter }) => (reveal ? { ...letter, reason } : letter))));
      if (letters.length === 0) return say("There is no dead letter.");
      for (const { id, type, subject, streamId, at, attempts, error, reason } of letters) {
        const why = reveal ? reason : (error ?? "an error");
        say(`${id}  ${type} of ${subject}\n  ${why}, given up ${at} after ${attempts} tries; entry ${streamId}`);
      }
    });
}

async function dropLetters(
  ports: CommandPorts,
  group: string,
  outcomes: readonly string[],
  { all, dryRun = false, json }: { readonly all?: true; readonly dryRun?: boolean; readonly json?: true },
): Promise<void> {
  if (outcomes.length > 0 === (all === true)) throw new Error("expected ids of outcomes, or --all");
  const { open, say } = ports;
  const { redis, shards } = await open();
  const isWanted = ({ id }: DeadLetter) => all === true || outcomes.includes(id);
  const found = await Promise.all(
    shards.all.map(async (shard) =>
      dryRun
        ? (await readDeadLetters(redis, shard, group)).filter(isWanted)
        : await dropDeadLetters(redis, shard, group, isWanted),
    ),
  );
  const dropped = found.flat().map(({ id }) => id);
  if (dropped.length === 0) await requireGroup(redis, shards, group);
  tellMissing(ports, outcomes, new Set(dropped), "dead letters");
  if (json) return say(JSON.stringify({ dropped, dryRun }));
  for (const id of dropped) say(id);
  say(`${dropped.length} ${dryRun ? "would be" : "are"} dropped.`);
}

function aclCommand({ open, say, note }: CommandPorts): Command {
  return new Command("acl")
    .description("Prints the line of Redis' ACL for the consumers of a group: the outcomes, and nothing else.")
    .argument("<group>", "the group that the consumers will name", groupOf)
    .action(async (group: string) => {
      const { shards } = await open();
      note(`Replace PASSWORD, and run it with redis-cli. The group's consumers connect as user "${group}".`);
      say(groupAcl(group, shards));
    });
}

function forgetCommand({ open, say }: CommandPorts): Command {
  return new Command("forget")
    .description("Forgets a group of consumers, which are stopped by then: no outcome is kept for it any more.")
    .argument("<group>", "as `outcomes groups` gives it")
    .option("--json", "print JSON")
    .action(async (group: string, { json }: { json?: true }) => {
      const { redis, shards } = await open();
      if (!(await forgetGroup(redis, shards, group))) throw noGroup(group);
      say(json ? JSON.stringify({ forgotten: group }) : `Forgot the group ${group}`);
    });
}

/** One of a name that is not quite right has given up nothing, which would be taken for good news. */
async function requireGroup(redis: Redis, shards: Shards, group: string): Promise<void> {
  const groups = (await Promise.all(shards.all.map((shard) => readGroups(redis, shard)))).flat();
  if (!groups.some((known) => known.group === group)) throw noGroup(group);
}

function noGroup(group: string): Error {
  return new Error(`there is no group "${group}": \`calendly outcomes groups\` shows them`);
}

function groupOf(text: string): string {
  if (/^[\w.-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError("expected 1 to 64 letters, digits, `_`, `.` or `-`.");
}

function tailCommand({ open, say }: CommandPorts): Command {
  return new Command("tail")
    .description("Shows outcomes as they are published, until Ctrl-C.")
    .option("--since <time>", "begin with those published then or later, ISO 8601 (default: now)", timeOf)
    .option("--no-follow", "end after those that are there")
    .option("--json", "print each as JSON, personal data and all")
    .action(async ({ since, follow, json }: { since?: string; follow: boolean; json?: true }) => {
      const { redis, shards } = await open();
      // An entry's id begins with the time, ms, of its publication.
      const from = `${(since === undefined ? Date.now() : Date.parse(since)) - 1}-18446744073709551615`;
      const after = new Map(shards.all.map((shard) => [shard, from]));
      for (;;) {
        let found = 0;
        for (const shard of shards.all) {
          for (const { streamId, event } of await readOutcomes(redis, shard, after.get(shard))) {
            after.set(shard, streamId);
            found += 1;
            const { type, id, subject, time } = event;
            say(json ? JSON.stringify(event) : `${time}  ${type.padEnd(26)}  ${id}  of ${subject}`);
          }
        }
        if (found > 0) continue;
        if (!follow) return;
        await pause(LOOK_EVERY_MS);
      }
    });
}
