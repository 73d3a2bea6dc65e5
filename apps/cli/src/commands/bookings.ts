import { type Booking, chainOf, holeOf } from "@calendly-worker/core/bookings/booking";
import { lastInvitee } from "@calendly-worker/core/bookings/canonical-log";
import { loggedOutcomes, statusOf } from "@calendly-worker/core/bookings/current";
import { fieldValue } from "@calendly-worker/core/bookings/knowledge";
import { Command, Option } from "commander";
import type { CommandPorts, Installation } from "../installation.ts";
import { wholeOf } from "../options.ts";

export function bookingsCommand(ports: CommandPorts): Command {
  return new Command("bookings")
    .description("Bookings as they are known here.")
    .addCommand(showCommand(ports))
    .addCommand(listCommand(ports));
}

function showCommand({ open, say }: CommandPorts): Command {
  return new Command("show")
    .description("Shows one booking: its chain of appointments, and what has been told of it.")
    .argument("<id>", "of the booking, or of any of its invitees")
    .option("--reveal", "show all that is known, personal data and all")
    .option("--json", "print JSON")
    .action(async (id: string, { reveal, json }: { reveal?: true; json?: true }) => {
      const { bookings } = await open();
      const { version, booking } = await bookings.load((await bookings.find(id)) ?? id);
      if (version === 0) throw new Error(`no booking is known under "${id}"`);
      const all = reveal ? { all: booking } : {};
      if (json)
        return say(
          JSON.stringify({
            ...summaryOf(booking),
            version,
            chain: stepsOf(booking),
            outcomes: loggedOutcomes(booking),
            ...all,
          }),
        );
      const { status, start, end, hole } = summaryOf(booking);
      say(`${booking.id}  ${status}, ${start} to ${end}${hole === null ? "" : `, the invitee ${hole} is missing`}`);
      for (const { id: invitee, start: at, state } of stepsOf(booking)) say(`  ${invitee}  ${at}  ${state}`);
      for (const { id: outcome, isTold } of loggedOutcomes(booking))
        say(`  ${outcome}${isTold ? "" : "  (history: told to nobody)"}`);
      if (reveal) say(JSON.stringify(booking, null, 2));
    });
}

function listCommand({ open, say }: CommandPorts): Command {
  return new Command("list")
    .description("Lists bookings by their start.")
    .addOption(new Option("--status <status>", "only those").choices(["active", "canceled"]))
    .option("--limit <bookings>", "how many at most", wholeOf, 50)
    .option("--json", "print JSON")
    .action(async ({ status, limit, json }: { status?: string; limit: number; json?: true }) => {
      const all = (await summaries(await open())).filter(
        (booking) => status === undefined || booking.status === status,
      );
      const shown = all.toSorted((a, b) => (a.start < b.start ? -1 : 1)).slice(0, limit);
      if (json) return say(JSON.stringify(shown));
      if (shown.length === 0) return say("There is no booking.");
      for (const { id, status: state, start, end, hole } of shown) {
        say(`${id}  ${state.padEnd(8)}  ${start} to ${end}${hole === null ? "" : "  incomplete"}`);
      }
      if (all.length > shown.length) say(`… and ${all.length - shown.length} more: --limit shows them.`);
    });
}

async function summaries({ shards, bookings }: Installation) {
  const found = new Map<string, ReturnType<typeof summaryOf>>();
  for (const shard of shards.all) {
    for await (const id of bookings.ids(shard)) {
      const { version, booking } = await bookings.load(id);
      if (version > 0) found.set(id, summaryOf(booking));
    }
  }
  return [...found.values()];
}

/** Nothing that names a person. */
function summaryOf(booking: Booking) {
  const [known] = [lastInvitee(booking) ?? Object.values(booking.invitees).at(-1)];
  return {
    id: booking.id,
    status: statusOf(booking),
    start: known === undefined ? "unknown" : fieldValue(known.event.start),
    end: known === undefined ? "unknown" : fieldValue(known.event.end),
    eventType: known === undefined ? null : (fieldValue(known.event.eventType) ?? null),
    hole: holeOf(booking)?.invitee.id ?? null,
  };
}

function stepsOf(booking: Booking) {
  return chainOf(booking).map((id) => {
    const known = booking.invitees[id];
    if (known === undefined)
      return { id, start: "unknown", state: booking.gone.includes(id) ? "gone at Calendly" : "missing" };
    const state = known.rescheduled ? "rescheduled" : known.canceled ? "canceled" : "active";
    return { id, start: fieldValue(known.event.start), state };
  });
}
