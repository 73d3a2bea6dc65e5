import { setTimeout as pause } from "node:timers/promises";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { Command } from "commander";
import type { CommandPorts } from "../installation.ts";
import { timeOf } from "../options.ts";

const LOOK_EVERY_MS = 300;

export function outcomesCommand(ports: CommandPorts): Command {
  return new Command("outcomes").description("What internal services are told.").addCommand(tailCommand(ports));
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
