import { holeOf } from "@calendly-worker/core/bookings/booking";
import { Command } from "commander";
import type { CommandPorts, Installation } from "../installation.ts";

interface Incomplete {
  /** Of the booking; of the missing invitee where deliveries wait for it. */
  readonly id: string;
  readonly missing: string;
  /** Deliveries that wait for the missing invitee. */
  readonly waiting: number;
  /** ISO 8601. */
  readonly since: string;
}

export function incompleteCommand({ open, say }: CommandPorts): Command {
  return new Command("incomplete")
    .description("Lists the bookings of which a part is missing that Calendly's API was asked for in vain.")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: true }) => {
      const rows = await list(await open());
      if (json) return say(JSON.stringify(rows));
      if (rows.length === 0) return say("No booking is incomplete.");
      for (const { id, missing, waiting, since } of rows) {
        say(`${id}  since ${since}  missing invitee ${missing}${waiting > 0 ? `, ${waiting} waiting for it` : ""}`);
      }
    });
}

async function list({ shards, bookings }: Installation): Promise<Incomplete[]> {
  const rows: Incomplete[] = [];
  for (const shard of shards.all) {
    for (const { id, since } of await bookings.incomplete(shard)) {
      const waiting = (await bookings.waitingFor(id)).length;
      const hole = holeOf((await bookings.load(id)).booking);
      rows.push({ id, missing: hole?.invitee.id ?? id, waiting, since: new Date(since).toISOString() });
    }
  }
  return rows;
}
