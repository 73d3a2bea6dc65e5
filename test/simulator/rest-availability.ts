import { Router } from "express";
import { z } from "zod";
import type { Account } from "./account.ts";
import type { EventType, Host } from "./catalog.ts";
import { HOUR } from "./clock.ts";
import { isActive } from "./meetings.ts";
import { invalidArgument, notFound, parse } from "./rest-errors.ts";
import { timestamp } from "./timestamps.ts";
import { needs } from "./tokens.ts";

const instant = z.iso.datetime({ offset: true });
const range = z.object({ event_type: z.string(), start_time: instant, end_time: instant });
const LONGEST_RANGE_MS = 31 * 24 * HOUR;
/** When the hosts work, UTC. */
const OPENS = 14;
const CLOSES = 17;

/** When an event type can be booked: its slots between 14 and 17 o'clock UTC whose hosts are free. */
export function availabilityRoutes(account: Account, now: () => number): Router {
  const router = Router();

  router.get("/event_type_available_times", needs("availability:read", "event_types:read"), (req, res) => {
    const { event_type, start_time, end_time } = parse(range, req.query);
    const type = account.catalog.eventTypes.find(({ uri }) => uri === event_type);
    if (type === undefined) throw notFound();
    const [from, to] = [Date.parse(start_time), Date.parse(end_time)];
    if (from < now()) throw invalidArgument([{ parameter: "start_time", message: "must be in the future" }]);
    if (to <= from || to - from > LONGEST_RANGE_MS)
      throw invalidArgument([{ parameter: "end_time", message: "must be after start_time, by 31 days at most" }]);
    const collection = (type.active ? slotsOf(type, from, to) : []).flatMap((startMs) => {
      const remaining = remainingAt(type, startMs, account);
      const start = timestamp(startMs);
      const scheduling_url = `https://calendly.com/northwind-demo/${type.slug}/${start}`;
      return remaining > 0
        ? [{ status: "available", invitees_remaining: remaining, start_time: start, scheduling_url }]
        : [];
    });
    res.json({ collection });
  });

  return router;
}

/** The next free times of an event type, from tomorrow on, as ISO 8601. */
export function nextSlots(account: Account, type: EventType, now: number, days: number): string[] {
  const from = Math.ceil(now / (24 * HOUR)) * 24 * HOUR;
  return slotsOf(type, from, from + days * 24 * HOUR)
    .filter((startMs) => remainingAt(type, startMs, account) > 0)
    .map((startMs) => new Date(startMs).toISOString());
}

function slotsOf({ minutes }: EventType, from: number, to: number): number[] {
  const stepMs = minutes * 60_000;
  const slots: number[] = [];
  for (let time = Math.ceil(from / stepMs) * stepMs; time < to; time += stepMs) {
    const hour = new Date(time).getUTCHours();
    if (hour >= OPENS && hour < CLOSES) slots.push(time);
  }
  return slots;
}

function remainingAt(type: EventType, startMs: number, account: Account): number {
  const overlapping = account.eventsBetween(startMs, startMs + type.minutes * 60_000);
  const own = overlapping.find((event) => type.limit > 1 && event.type === type && Date.parse(event.start) === startMs);
  if (own !== undefined) return type.limit - own.invitees.filter(isActive).length;
  const isFree = (host: Host) => !overlapping.some(({ hosts }) => hosts.includes(host));
  const isOpen = type.poolingType === "round_robin" ? type.hosts.some(isFree) : type.hosts.every(isFree);
  return isOpen ? type.limit : 0;
}
