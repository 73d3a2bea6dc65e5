import type { BookingData } from "@calendly-worker/core/bookings/outcome-data";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import type { Delivery } from "./day.ts";

// Lines for a terminal of 100 columns.

const DELIVERY_COLUMNS = [20, 10, 34] as const;
const OUTCOME_COLUMNS = [20, 10, 12, 18, 26] as const;

export function say(line = ""): void {
  process.stdout.write(`${line}\n`);
}

function row(cells: readonly string[], widths: readonly number[], indent: string): string {
  return `${indent}${cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join("  ")}`.trimEnd();
}

/** Ids are long and random; their first eight characters tell them apart here. */
const short = (id: string) => id.slice(0, 8);

export function sayTitle(title: string): void {
  say(`\n  ${title}`);
}

export function sayDelivery({ event, invitee, answer }: Delivery): void {
  say(row([event, short(invitee), answer], DELIVERY_COLUMNS, "    → "));
}

export function sayOutcome({ type, subject, data }: OutcomeEvent): void {
  const booking = bookingIn(data);
  const what = booking === undefined ? "" : `#${booking.sequence}, ${instant(booking.start)}`;
  say(row([type, short(subject), what], DELIVERY_COLUMNS, "    ⇐ "));
}

export function sayOutcomeTable(events: readonly OutcomeEvent[]): void {
  say("\nOutcomes, as internal services read them\n");
  say(row(["type", "booking", "who", "when (UTC)", "before"], OUTCOME_COLUMNS, "  "));
  say(
    row(
      OUTCOME_COLUMNS.map((width) => "─".repeat(width)),
      OUTCOME_COLUMNS,
      "  ",
    ),
  );
  for (const event of events) {
    const booking = bookingIn(event.data);
    const who = [booking?.invitee.name ?? "", booking === undefined ? "" : instant(booking.start)];
    say(row([event.type, short(event.subject), ...who, beforeOf(event)], OUTCOME_COLUMNS, "  "));
  }
}

function beforeOf({ type, data }: OutcomeEvent): string {
  if (type === "booking.rescheduled") return data.previous === null ? "" : instant(data.previous.start);
  return type === "booking.canceled" ? `canceled by ${data.cancellation.byType}` : "";
}

/** Conflicts and erasures have none. */
function bookingIn(data: OutcomeEvent["data"]): BookingData | undefined {
  return "booking" in data && "start" in data.booking ? data.booking : undefined;
}

function instant(time: string): string {
  return time.slice(0, 16).replace("T", " ");
}
