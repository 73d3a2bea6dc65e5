import { Router } from "express";
import { z } from "zod";
import type { Account } from "./account.ts";
import type { Faults } from "./faults.ts";
import { type Invitee, isActive, type ScheduledEvent } from "./meetings.ts";
import { pageOf } from "./pages.ts";
import { eventResource, eventTypeResource, inviteeResource, userResource } from "./payloads.ts";
import { failing, invalidArgument, notFound, parse, permissionDenied } from "./rest-errors.ts";
import { needs, tokenIn } from "./tokens.ts";

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

/** Users, event types, scheduled events and their invitees. */
export function accountRoutes(account: Account, faults: Faults): Router {
  const router = Router();
  const { catalog, events, eventsById } = account;

  router.get("/users/me", needs("users:read"), (_req, res) => {
    res.json({ resource: userResource(tokenIn(res).user, catalog.organization) });
  });

  router.get("/event_types/:id", needs("event_types:read"), (req, res) => {
    const type = catalog.eventTypes.find(({ uri }) => uri.endsWith(`/${req.params["id"]}`));
    if (type === undefined) throw notFound();
    res.json({ resource: eventTypeResource(type) });
  });

  router.get("/scheduled_events", needs("scheduled_events:read"), (req, res) => {
    const filters = parse(eventFilters, req.query);
    if (filters.organization === undefined && filters.user === undefined) {
      throw invalidArgument([{ parameter: "organization", message: "is missing" }]);
    }
    if (filters.organization !== undefined && filters.organization !== catalog.organization) throw permissionDenied();
    // The whole organization's are for its admin.
    if (filters.user === undefined && tokenIn(res).user.uri !== catalog.admin.uri) throw permissionDenied();
    const found = events.filter((event) => fits(event, filters, faults));
    const sorted = found.toSorted((a, b) => a.start.localeCompare(b.start));
    res.json(pageOf(req, filters.sort.endsWith("desc") ? sorted.toReversed() : sorted, eventResource));
  });

  router.get("/scheduled_events/:event", needs("scheduled_events:read"), (req, res) => {
    res.json({ resource: eventResource(eventOf(req.params["event"])) });
  });

  router.get("/scheduled_events/:event/invitees", needs("scheduled_events:read"), (req, res) => {
    const { status, email, sort } = parse(inviteeFilters, req.query);
    const event = eventOf(req.params["event"]);
    if (event.inviteesStatus !== undefined) throw failing(event.inviteesStatus);
    const found = event.invitees.filter(
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
    const event = eventOf(req.params["event"]);
    if (!isActive(event)) throw permissionDenied("Event is already canceled");
    res.status(201).json({ resource: account.cancelEvent(event.id, reason ?? null).cancellation });
  });

  function eventOf(id: string | string[] | undefined): ScheduledEvent {
    const event = eventsById.get(String(id));
    if (event === undefined) throw notFound();
    return event;
  }

  return router;
}

function fits(
  event: ScheduledEvent,
  filters: z.output<typeof eventFilters>,
  { minStartTime, maxStartTime }: Faults,
): boolean {
  const { user, invitee_email, status: wanted, min_start_time, max_start_time } = filters;
  const invited = ({ email }: Invitee) => email === invitee_email;
  const start = Date.parse(event.start);
  const isAt = (bound: string) => start === Date.parse(bound);
  return (
    (user === undefined || event.hosts.some(({ uri }) => uri === user)) &&
    (invitee_email === undefined || event.invitees.some(invited)) &&
    (wanted === undefined || event.status === wanted) &&
    (min_start_time === undefined ||
      start > Date.parse(min_start_time) ||
      (isAt(min_start_time) && minStartTime === "included")) &&
    (max_start_time === undefined ||
      start < Date.parse(max_start_time) ||
      (isAt(max_start_time) && maxStartTime === "included"))
  );
}
