import { Router } from "express";
import { z } from "zod";
import { needs } from "./access.ts";
import { type Account, AccountError, type Invitee, type ScheduledEvent } from "./account.ts";
import { pageOf } from "./pages.ts";
import { eventResource, eventTypeResource, inviteeResource, userResource } from "./payloads.ts";
import { invalidArgument, notFound, parse } from "./rest-errors.ts";

const status = z.enum(["active", "canceled"]).optional();
const instant = z.iso.datetime({ offset: true });

const eventFilters = z.object({
  organization: z.string().optional(),
  user: z.string().optional(),
  invitee_email: z.string().optional(),
  status,
  min_start_time: instant.optional(),
  max_start_time: instant.optional(),
  sort: z.enum(["start_time:asc", "start_time:desc"]).default("start_time:asc"),
});
const inviteeFilters = z.object({
  status,
  email: z.string().optional(),
  sort: z.enum(["created_at:asc", "created_at:desc"]).default("created_at:asc"),
});
const availability = z.object({ event_type: z.string(), start_time: instant, end_time: instant });
const MOST_DAYS_MS = 31 * 24 * 3_600_000;

/** Users, event types, scheduled events and their invitees. */
export function accountRoutes(account: Account): Router {
  const router = Router();
  const { catalog, events } = account;

  router.get("/users/me", needs("users:read"), (_req, res) => {
    res.json({ resource: userResource(catalog.admin, catalog.organization) });
  });

  router.get("/event_types/:id", needs("event_types:read"), (req, res) => {
    const type = catalog.eventTypes.find(({ uri }) => uri.endsWith(`/${req.params["id"]}`));
    if (type === undefined) throw notFound();
    res.json({ resource: eventTypeResource(type) });
  });

  router.get("/event_type_available_times", needs("availability:read", "event_types:read"), (req, res) => {
    const { event_type, start_time, end_time } = parse(availability, req.query);
    const type = catalog.eventTypes.find(({ uri }) => uri === event_type);
    if (type === undefined) throw notFound();
    const [from, to] = [Date.parse(start_time), Date.parse(end_time)];
    if (to <= from || to - from > MOST_DAYS_MS || from < Date.now()) {
      throw invalidArgument([
        { parameter: "start_time", message: "must be in the future, and the range 31 days at most" },
      ]);
    }
    res.json({
      collection: freeTimes(type.minutes, from, to).map((time) => ({
        status: "available",
        invitees_remaining: type.limit,
        start_time: time,
        scheduling_url: `https://calendly.com/northwind-demo/${type.slug}/${time}`,
      })),
    });
  });

  router.get("/scheduled_events", needs("scheduled_events:read"), (req, res) => {
    const filters = parse(eventFilters, req.query);
    if (filters.organization === undefined && filters.user === undefined) {
      throw invalidArgument([{ parameter: "organization", message: "is missing" }]);
    }
    const found = events.filter((event) => fits(event, filters, catalog.organization));
    const sorted = found.toSorted((a, b) => a.start.localeCompare(b.start));
    res.json(pageOf(req, filters.sort.endsWith("desc") ? sorted.toReversed() : sorted, eventResource));
  });

  router.get("/scheduled_events/:event", needs("scheduled_events:read"), (req, res) => {
    res.json({ resource: eventResource(eventOf(req.params["event"])) });
  });

  router.get("/scheduled_events/:event/invitees", needs("scheduled_events:read"), (req, res) => {
    const { status, email, sort } = parse(inviteeFilters, req.query);
    const found = eventOf(req.params["event"]).invitees.filter(
      (invitee) =>
        (status === undefined || invitee.status === status) && (email === undefined || invitee.email === email),
    );
    res.json(pageOf(req, sort.endsWith("desc") ? found.toReversed() : found, inviteeResource));
  });

  router.get("/scheduled_events/:event/invitees/:invitee", needs("scheduled_events:read"), (req, res) => {
    const invitee = eventOf(req.params["event"]).invitees.find(({ id }) => id === req.params["invitee"]);
    if (invitee === undefined) throw notFound();
    res.json({ resource: inviteeResource(invitee) });
  });

  router.post("/scheduled_events/:event/cancellation", needs("scheduled_events:write"), (req, res) => {
    const { reason } = parse(z.object({ reason: z.string().max(10_000).optional() }), req.body ?? {});
    try {
      const event = account.cancelEvent(String(req.params["event"]), reason ?? null);
      res.status(201).json({ resource: event.cancellation });
    } catch (error) {
      throw error instanceof AccountError ? notFound() : error;
    }
  });

  function eventOf(id: string | string[] | undefined): ScheduledEvent {
    const event = events.find((candidate) => candidate.id === id);
    if (event === undefined) throw notFound();
    return event;
  }

  return router;
}

function fits(event: ScheduledEvent, filters: z.output<typeof eventFilters>, organization: string): boolean {
  const { user, invitee_email, status: wanted, min_start_time, max_start_time } = filters;
  const invited = ({ email }: Invitee) => email === invitee_email;
  return (
    (filters.organization === undefined || filters.organization === organization) &&
    (user === undefined || event.hosts.some(({ uri }) => uri === user)) &&
    (invitee_email === undefined || event.invitees.some(invited)) &&
    (wanted === undefined || event.status === wanted) &&
    (min_start_time === undefined || Date.parse(event.start) >= Date.parse(min_start_time)) &&
    (max_start_time === undefined || Date.parse(event.start) < Date.parse(max_start_time))
  );
}

/** Every slot of the range from 14 to 17 o'clock UTC: enough to suggest another time. */
function freeTimes(minutes: number, from: number, to: number): string[] {
  const step = minutes * 60_000;
  const times: string[] = [];
  for (let time = Math.ceil(from / step) * step; time < to; time += step) {
    const hour = new Date(time).getUTCHours();
    if (hour >= 14 && hour < 17) times.push(new Date(time).toISOString().replace("Z", "000Z"));
  }
  return times;
}
