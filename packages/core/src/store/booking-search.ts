import type { Booking } from "../bookings/booking.ts";
import { lastInvitee } from "../bookings/canonical-log.ts";
import { statusOf } from "../bookings/current.ts";
import type { Redis } from "../redis/connect.ts";
import { lookupKey, type Shards } from "../redis/keys.ts";
import type { BookingStore } from "./bookings.ts";
import { LOOKUPS, type Lookup, lookupPrefix, lookupsOf, startText } from "./lookups.ts";

/** What is looked for; what is not given does not matter. */
export interface BookingQuery {
  readonly status?: "active" | "canceled" | undefined;
  readonly email?: string | undefined;
  readonly reference?: string | undefined;
  /** URI or id of a user. */
  readonly host?: string | undefined;
  /** URIs or ids; a booking of one of them. */
  readonly eventTypes?: readonly string[] | undefined;
  /** In ms: events that start then or later. */
  readonly from?: number | undefined;
  /** In ms: events that start before. */
  readonly to?: number | undefined;
}

export interface BookingPage {
  readonly bookings: readonly Booking[];
  /** Read on after it; undefined where there is nothing more. A page may have fewer bookings than asked for. */
  readonly next: string | undefined;
}

export interface BookingSearch {
  /** Bookings by their start. `after` is the `next` of the page before. */
  find(
    query: BookingQuery,
    page: { readonly after?: string | undefined; readonly limit: number },
  ): Promise<BookingPage>;
}

/** So many are looked at for one page, that no question holds Redis for long. */
const EXAMINED = 1_000;
const CHUNK = 200;

export function createBookingSearch(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly bookings: Pick<BookingStore, "load">;
  readonly referenceField: string;
}): BookingSearch {
  const { redis, shards, bookings, referenceField } = ports;

  /** The next places, `<start>:<booking id>`, of all shards together. */
  async function placesAfter(prefix: string, from: string, to: string): Promise<string[]> {
    const [min, max] = [`${from[0]}${prefix}${from.slice(1)}`, `(${prefix}${to}`];
    const found = await Promise.all(
      shards.all.map((shard) => redis.zrangebylex(lookupKey(shard), min, max, "LIMIT", 0, CHUNK)),
    );
    return found
      .flat()
      .map((member) => member.slice(prefix.length))
      .toSorted()
      .slice(0, CHUNK);
  }

  return {
    async find(query, { after, limit }) {
      const prefix = prefixOf(query);
      const wanted = wantedLookups(query);
      const end = query.to === undefined ? "~" : startText(query.to);
      let from = after === undefined ? `[${query.from === undefined ? "" : startText(query.from)}` : `(${after}`;
      const found: Booking[] = [];
      for (let examined = 0; examined < EXAMINED; ) {
        const places = await placesAfter(prefix, from, end);
        const loaded = await Promise.all(places.map((place) => bookings.load(place.slice(place.indexOf(":") + 1))));
        for (const [index, { version, booking }] of loaded.entries()) {
          const place = places[index] ?? "";
          examined += 1;
          from = `(${place}`;
          if (version === 0 || !fits(booking, query, wanted)) continue;
          found.push(booking);
          if (found.length === limit) {
            const isLast = index === loaded.length - 1 && places.length < CHUNK;
            return { bookings: found, next: isLast ? undefined : place };
          }
        }
        if (places.length < CHUNK) return { bookings: found, next: undefined };
      }
      return { bookings: found, next: from.slice(1) };
    },
  };

  function fits(booking: Booking, query: BookingQuery, wanted: readonly (readonly string[])[]): boolean {
    if (lastInvitee(booking) === undefined) return false;
    if (query.status !== undefined && statusOf(booking) !== query.status) return false;
    const own = lookupsOf(booking, referenceField);
    return wanted.every((prefixes) => prefixes.some((prefix) => own.some((member) => member.startsWith(prefix))));
  }
}

function valuesOf(query: BookingQuery, lookup: Lookup): readonly string[] {
  if (lookup === "start") return [];
  if (lookup === "eventType") return query.eventTypes ?? [];
  const value = query[lookup];
  return value === undefined ? [] : [value];
}

/** By the most telling of what is given. */
function prefixOf(query: BookingQuery): string {
  for (const lookup of LOOKUPS) {
    const [value, ...others] = valuesOf(query, lookup);
    if (value !== undefined && others.length === 0) return lookupPrefix(lookup, value);
  }
  return lookupPrefix("start");
}

/** Of each lookup that is asked for, one of these prefixes must be the booking's. */
function wantedLookups(query: BookingQuery): string[][] {
  return LOOKUPS.map((lookup) => valuesOf(query, lookup).map((value) => lookupPrefix(lookup, value))).filter(
    (prefixes) => prefixes.length > 0,
  );
}
