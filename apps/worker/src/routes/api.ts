import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Booking } from "@calendly-worker/core/bookings/booking";
import { lastInvitee } from "@calendly-worker/core/bookings/canonical-log";
import { currentBooking, loggedOutcomes } from "@calendly-worker/core/bookings/current";
import { fieldValue } from "@calendly-worker/core/bookings/knowledge";
import { type BookingData, withEventType } from "@calendly-worker/core/bookings/outcome-data";
import { openApiDocument } from "@calendly-worker/core/http-api/openapi";
import { renderPage } from "@calendly-worker/core/http-api/page";
import { ProblemError } from "@calendly-worker/core/http-api/problems";
import type { Route } from "@calendly-worker/core/http-api/route";
import { routes } from "@calendly-worker/core/http-api/routes";
import {
  CursorExpiredError,
  CursorInvalidError,
  type Position,
  parseCursor,
  toCursor,
} from "@calendly-worker/core/outcomes/cursor";
import type { OutcomeFeed } from "@calendly-worker/core/outcomes/feed";
import type { DestinationManager } from "@calendly-worker/core/outcomes/manage-destinations";
import { idOf, matches } from "@calendly-worker/core/outcomes/outcome-filter";
import { beginning, newestOf, readAfter } from "@calendly-worker/core/outcomes/read-stream";
import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { BookingSearch } from "@calendly-worker/core/store/booking-search";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import type { EventTypes } from "@calendly-worker/core/store/event-types";
import type { Expectations } from "@calendly-worker/core/store/expectations";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import express, { Router } from "express";
import { permit, type Reader } from "../access.ts";
import { streamOutcomes } from "../outcome-stream.ts";
import { type Handler, serve } from "../serve.ts";

type Handlers = { readonly [Name in keyof typeof routes]: Handler<(typeof routes)[Name]> };

export interface ApiPorts {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly bookings: Pick<BookingStore, "load" | "find">;
  readonly search: BookingSearch;
  readonly eventTypes: Pick<EventTypes, "find">;
  readonly expectations: Expectations;
  readonly destinations: DestinationManager;
  readonly feed: OutcomeFeed;
  readonly referenceField: string;
  readonly log: Logger;
  /** Aborts when the worker stops. */
  readonly signal: AbortSignal;
}

const MOST_STREAMS = 200;
const MOST_DEAD_LETTERS = 1_000;
/** So many outcomes are looked at for one page, whatever the filters leave of them. */
const EXAMINED = 2_000;
/** While Redis is slow, fewer: who asks gets a cursor to go on with, before it is too late for any answer. */
const EXAMINING_MS = 2_000;
/** What filters leave little of is read in no smaller steps than this, however small the page that was asked for. */
const LEAST_STEP = 250;
/** What Calendly says of event types is not waited for longer. */
const EVENT_TYPE_MS = 500;

/** What the worker tells other programs, and lets them do. */
export function apiRoutes(ports: ApiPorts): Router {
  const router = Router();
  router.use("/api", express.json({ limit: "64kb", type: () => true }));
  const handlers = {
    ...bookingHandlers(ports),
    ...outcomeHandlers(ports),
    ...expectationHandlers(ports),
    ...destinationHandlers(ports),
  };
  for (const [name, route] of Object.entries<Route>(routes)) {
    serve(router, route, handlers[name as keyof Handlers] as Handler<Route>);
  }
  const document = openApiDocument();
  const page = renderPage(document);
  router.get("/api/openapi.json", (_req, res) => {
    permit(res, "read");
    res.json(document);
  });
  router.get("/api/docs", (_req, res) => {
    permit(res, "read");
    res.set("Content-Security-Policy", page.contentSecurityPolicy).type("html").send(page.html);
  });
  for (const path of Object.keys(document.paths ?? {})) {
    router.all(path.replaceAll(/\{(\w+)\}/g, ":$1"), (req, res) => {
      const methods = Object.keys(document.paths?.[path] ?? {}).map((method) => method.toUpperCase());
      res.set("Allow", methods.join(", "));
      throw new ProblemError("method_not_allowed", `expected ${methods.join(" or ")}, got ${req.method}`);
    });
  }
  return router;
}

function bookingHandlers({
  bookings,
  search,
  eventTypes,
  referenceField,
}: ApiPorts): Pick<Handlers, "listBookings" | "getBooking"> {
  /** As it is known now; the event types as far as Calendly has said by then. */
  async function shown(all: readonly Booking[]): Promise<BookingData[]> {
    const uris = [...new Set(all.map(eventTypeOf).filter((uri) => uri !== undefined))];
    const found = await Promise.all(uris.map((uri) => Promise.race([eventTypes.find(uri), pause(EVENT_TYPE_MS)])));
    const telling = { origin: "webhook", publishFrom: 0, referenceField } as const;
    return all
      .map((booking) => currentBooking(booking, telling))
      .filter((data) => data !== undefined)
      .map((data) => withEventType(data, (uri) => found[uris.indexOf(uri)] ?? undefined));
  }

  return {
    async listBookings({ query: { limit, after, from, to, eventType, ...wanted }, reader }) {
      const mayBe = reader.eventTypes;
      if (eventType !== undefined && mayBe !== undefined && !mayBe.map(idOf).includes(idOf(eventType))) {
        return { bookings: [], next: null };
      }
      const query = {
        ...wanted,
        eventTypes: eventType === undefined ? mayBe : [eventType],
        from: from === undefined ? undefined : Date.parse(from),
        to: to === undefined ? undefined : Date.parse(to),
      };
      const filters = createHash("sha256").update(JSON.stringify(query)).digest("hex").slice(0, 12);
      const page = await search.find(query, {
        limit,
        after: after === undefined ? undefined : placeOf(after, filters),
      });
      const next = page.next === undefined ? null : pageCursor(page.next, filters);
      return { bookings: await shown(page.bookings), next };
    },

    async getBooking({ params: { id }, reader }) {
      const { version, booking } = await bookings.load((await bookings.find(id)) ?? id);
      const [data] = version === 0 || !maySee(reader, booking) ? [] : await shown([booking]);
      if (data === undefined) throw new ProblemError("not_found", `no booking is known under "${id}"`);
      return { booking: data, log: loggedOutcomes(booking) };
    },
  };
}

function outcomeHandlers({
  redis,
  shards,
  feed,
  signal,
  log,
}: ApiPorts): Pick<Handlers, "listOutcomes" | "streamOutcomes"> {
  let open = 0;

  /** Adds to a refusal where one can go on. */
  async function orWhereToGoOn<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      if (!(error instanceof CursorExpiredError)) throw error;
      const { message, oldest } = error;
      throw new ProblemError("cursor_expired", message, { oldest, cursor: toCursor(await beginning(redis, shards)) });
    }
  }

  return {
    async listOutcomes({ query: { after, type, limit }, reader }) {
      let position: Position =
        after === undefined ? await beginning(redis, shards) : parseCursor(after, shards.all.length);
      const outcomes = [];
      const from = performance.now();
      let hasMore = true;
      let examined = 0;
      // Most readers have no filter: for them the first step is all that there is.
      for (let step = limit; hasMore && outcomes.length < limit; step = Math.max(limit, LEAST_STEP)) {
        if (examined >= EXAMINED || (examined > 0 && performance.now() - from > EXAMINING_MS)) break;
        const found = await orWhereToGoOn(readAfter(redis, shards, position, step + 1));
        hasMore = found.length > step;
        for (const { event, position: at } of found.slice(0, step)) {
          if (outcomes.length === limit) {
            hasMore = true;
            break;
          }
          examined += 1;
          position = at;
          if (matches(event, { types: type }) && matches(event, { eventTypes: reader.eventTypes }))
            outcomes.push(event);
        }
      }
      return { outcomes, next: toCursor(position), hasMore };
    },

    async streamOutcomes({ query: { after, type }, reader }, req, res) {
      if (open >= MOST_STREAMS) {
        res.set("Retry-After", "10");
        throw new ProblemError("too_many_streams", `this worker has ${open} streams open already`);
      }
      const cursor = req.get("last-event-id") ?? after;
      const position =
        cursor === undefined || cursor === ""
          ? await Promise.all(shards.all.map((shard) => newestOf(redis, shard)))
          : parseCursor(cursor, shards.all.length);
      await orWhereToGoOn(readAfter(redis, shards, position, 1));
      open += 1;
      try {
        const filters = [{ types: type }, { eventTypes: reader.eventTypes }];
        await streamOutcomes({ redis, shards, feed, signal, log }, res, position, filters);
      } finally {
        open -= 1;
      }
      return undefined;
    },
  };
}

function expectationHandlers({ expectations }: ApiPorts): Pick<Handlers, "announceExpectation" | "getExpectation"> {
  return {
    announceExpectation: async ({ body: { reference, until } }) =>
      await expectations.announce(reference, Date.parse(until)),
    async getExpectation({ params: { reference }, reader }) {
      // It may be of any event type.
      const found = reader.eventTypes === undefined ? await expectations.find(reference) : undefined;
      if (found === undefined) throw new ProblemError("not_found", `nothing is expected under "${reference}"`);
      return found;
    },
  };
}

function destinationHandlers({
  destinations,
}: ApiPorts): Omit<
  Handlers,
  "listBookings" | "getBooking" | "listOutcomes" | "streamOutcomes" | "announceExpectation" | "getExpectation"
> {
  async function found<T>(id: string, step: Promise<T | undefined>): Promise<T> {
    const result = await step;
    if (result === undefined) throw new ProblemError("not_found", `there is no destination "${id}"`);
    return result;
  }
  return {
    listDestinations: async () => ({ destinations: await destinations.list() }),
    addDestination: async ({ body }) => await destinations.add(body),
    getDestination: ({ params: { id } }) => found(id, destinations.find(id)),
    changeDestination: ({ params: { id }, body }) => found(id, destinations.change(id, body)),
    async removeDestination({ params: { id } }) {
      if (!(await destinations.remove(id))) throw new ProblemError("not_found", `there is no destination "${id}"`);
      return { removed: id };
    },
    rotateSecret: ({ params: { id }, body: { overlapSeconds } }) =>
      found(id, destinations.rotateSecret(id, overlapSeconds * 1_000)),
    listDeadLetters: async ({ params: { id } }) => ({
      deadLetters: await found(id, destinations.deadLetters(id, MOST_DEAD_LETTERS)),
    }),
    redeliver: async ({ params: { id }, body }) => ({
      redelivered: await found(id, destinations.redeliver(id, body)),
      dryRun: body.dryRun,
    }),
  };
}

function eventTypeOf(booking: Booking): string | undefined {
  const known = lastInvitee(booking);
  return known === undefined ? undefined : (fieldValue(known.event.eventType) ?? undefined);
}

function maySee({ eventTypes }: Reader, booking: Booking): boolean {
  const uri = eventTypeOf(booking);
  return eventTypes === undefined || (uri !== undefined && eventTypes.map(idOf).includes(idOf(uri)));
}

function pageCursor(place: string, filters: string): string {
  return Buffer.from(JSON.stringify([1, filters, place])).toString("base64url");
}

function placeOf(cursor: string, filters: string): string {
  try {
    const [version, made, place] = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (version === 1 && made === filters && typeof place === "string") return place;
  } catch {
    // Said below.
  }
  throw new CursorInvalidError("expected the `next` of a page that was asked for with the same filters");
}
