import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import type { Erased } from "@calendly-worker/core/store/eraser";
import { Command } from "commander";
import type { CommandPorts } from "../installation.ts";

/** Two passes that find nothing are no proof against a job in flight; a running one is waited for. */
const BETWEEN_PASSES_MS = 1_000;
const MOST_PASSES = 60;

export function eraseCommand({ open, input, say, note }: CommandPorts): Command {
  return new Command("erase")
    .description(
      "Erases one person: bookings, outcomes, deliveries in any state. No booking of theirs that is known comes back.",
    )
    .argument("[email]", "the person's e-mail address; read from standard input where it is not given")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nAn address on the command line stays in the shell's history: `calendly erase < file` does not." +
        "\nBookings of others that name the person do so again with their next delivery: run this again after it.",
    )
    .action(async (given: string | undefined, { json }: { json?: true }) => {
      const email = (given ?? (await text(input))).trim();
      if (!/^\S+@\S+$/.test(email)) throw new Error("expected one e-mail address, as an argument or on standard input");
      const { eraser } = await open();

      let total = await eraser.erase(email);
      for (let pass = 2; total.running > 0; pass++) {
        if (pass > MOST_PASSES)
          throw new Error(`${total.running} jobs are still running: run this again when they have ended`);
        note(`${total.running} jobs are running, looking again …`);
        await pause(BETWEEN_PASSES_MS);
        total = sum(total, await eraser.erase(email));
      }
      if (json) return say(JSON.stringify(total));
      const { bookings, outcomes, deliveries, others } = total;
      say(`Erased: ${bookings} bookings, ${outcomes} outcomes, ${deliveries} deliveries.`);
      if (others === 0) return;
      say(`${others} bookings or deliveries of others named the person and do so no more.`);
      say("Calendly still has that: it comes back with their next delivery, until this is run again.");
    });
}

function sum(before: Erased, now: Erased): Erased {
  return {
    bookings: before.bookings + now.bookings,
    outcomes: before.outcomes + now.outcomes,
    deliveries: before.deliveries + now.deliveries,
    others: before.others + now.others,
    running: now.running,
  };
}
