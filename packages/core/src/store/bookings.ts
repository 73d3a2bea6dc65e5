import { type Booking, emptyBooking, holeOf } from "../bookings/booking.ts";
import type { Outcome } from "../bookings/outcomes.ts";
import { awaitsLinkUntil } from "../bookings/registers.ts";
import { expiresAt } from "../bookings/retention.ts";
import { toStreamEntry } from "../outcomes/stream-entry.ts";
import type { DataOf } from "../queues/contract.ts";
import { deliveries } from "../queues/contracts.ts";
import type { Redis } from "../redis/connect.ts";
import {
  bookingKey,
  erasedKey,
  incompleteKey,
  indexKey,
  lookupExpiryKey,
  lookupKey,
  outcomeStreamKey,
  type Shard,
  type Shards,
  unfinishedKey,
  waitingKey,
} from "../redis/keys.ts";
import { idsUnder } from "../redis/scan.ts";
import { defineScript } from "./define-script.ts";
import { lookupsOf } from "./lookups.ts";

/** A booking as it was read. `version` is what a commit of a change to it must still find. */
export interface Versioned {
  readonly version: number;
  readonly booking: Booking;
}

export type Delivery = DataOf<typeof deliveries>;

export interface BookingStore {
  /** The stored booking, or an empty one of version 0. */
  load(bookingId: string): Promise<Versioned>;
  /** Writes the booking and appends the outcomes, both or neither. */
  commit(change: Versioned & { readonly outcomes: readonly Outcome[] }): Promise<"written" | "conflict" | "erased">;
  /** The booking of an invitee or a routing form submission, where it is known. */
  find(id: string): Promise<string | undefined>;
  /** The same; where it is not known, keeps `delivery` until it is and gives undefined. */
  findOrWait(
    id: string,
    delivery: Delivery,
    /** Whether Calendly can be asked for the id; the end of the delivery's event, ISO 8601, where it has one. */
    about: { readonly canBeAsked: boolean; readonly end?: string },
  ): Promise<string | undefined>;
  /** Writes down which booking an id belongs to; gives the deliveries that waited for that. */
  index(id: string, booking: Booking): Promise<Delivery[]>;
  /** The deliveries that wait for an id. */
  waitingFor(id: string): Promise<Delivery[]>;
  /** Forgets that a delivery waited for an id, once it is committed. */
  clearWaiting(id: string, delivery: Delivery): Promise<void>;
  /** When an invitee was erased, in ms; undefined for everybody else. */
  erasedAt(inviteeId: string): Promise<number | undefined>;
  /** Writes down that nothing may be kept of an invitee any more. */
  markErased(inviteeId: string): Promise<void>;
  /**
   * Lists a booking, or an invitee that deliveries wait for, whose missing part was asked for in vain. Where Calendly has
   * answered, and it is listed already, it is looked after again only the next day: the answer will hardly be another one.
   */
  listIncomplete(id: string, how: { readonly isAnswered: boolean }): Promise<void>;
  /** What is listed so, and since when (ms), oldest first. */
  incomplete(shard: Shard): Promise<{ readonly id: string; readonly since: number }[]>;
  /** The ids of all bookings of a shard. One that is written meanwhile may be left out or given twice. */
  ids(shard: Shard): AsyncGenerator<string>;
  /** Up to `limit` ids that are to be looked after by now. */
  due(shard: Shard, limit: number): Promise<string[]>;
  /** Looks after an id again later, or never again: then nothing of it is missing. */
  lookLater(id: string, again: boolean): Promise<void>;
}

const DAY_MS = 86_400_000;
/** However old what is told, it is remembered longer than Calendly repeats it. */
const SHORTEST_MEMORY_MS = 7 * DAY_MS;
/** What was lost between a commit and the job that asks for what is missing is found after this time. */
const LOOK_AFTER_MS = 15 * 60_000;

const commitBooking = defineScript({
  name: "commit-booking",
  keys: ["booking", "outcomes", "unfinished", "incomplete", "erased", "lookup", "lookup_expiry"],
  args: ["id", "expected_version", "record", "lookups", "expires_at", "now", "look_at", "has_hole"],
  reply: (raw) => raw as "written" | "conflict" | "erased",
});

const findBookingOrWait = defineScript({
  name: "find-booking-or-wait",
  keys: ["index", "waiting", "unfinished"],
  args: ["id", "identity", "delivery", "expires_at", "is_delivered", "look_at"],
  reply: (raw) => (typeof raw === "string" ? raw : undefined),
});

const writeIndex = defineScript({
  name: "write-index",
  keys: ["index", "waiting"],
  args: ["booking_id", "expires_at"],
  reply: (raw) => (raw as string[]).map(parseDelivery),
});

const clearWaiting = defineScript({
  name: "clear-waiting",
  keys: ["waiting", "unfinished", "incomplete", "booking"],
  args: ["id", "identity"],
  reply: (raw) => raw as number,
});

export function createBookingStore(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly retentionDays: number;
  /** Name of the tracking field that is the reference, by which a booking is found. */
  readonly referenceField: string;
  readonly now: () => number;
}): BookingStore {
  const { redis, shards, retentionDays, referenceField, now } = ports;

  const keptUntil = (wanted: number) => Math.max(wanted, now() + SHORTEST_MEMORY_MS);
  const bookingKeptUntil = (booking: Booking) => keptUntil(expiresAt(booking, retentionDays) ?? 0);
  const lookAt = () => now() + LOOK_AFTER_MS;

  return {
    async load(bookingId) {
      const [version, record] = await redis.hmget(bookingKey(shards.of(bookingId), bookingId), "version", "record");
      if (typeof version !== "string" || typeof record !== "string") {
        return { version: 0, booking: emptyBooking(bookingId) };
      }
      return { version: Number(version), booking: { ...emptyBooking(bookingId), ...JSON.parse(record) } };
    },

    commit({ version, booking, outcomes }) {
      const shard = shards.of(booking.id);
      const hasHole = holeOf(booking) !== undefined;
      return commitBooking(
        redis,
        {
          booking: bookingKey(shard, booking.id),
          outcomes: outcomeStreamKey(shard),
          unfinished: unfinishedKey(shard),
          incomplete: incompleteKey(shard),
          erased: erasedKey(shard, booking.id),
          lookup: lookupKey(shard),
          lookup_expiry: lookupExpiryKey(shard),
        },
        {
          id: booking.id,
          expected_version: version,
          record: JSON.stringify(booking),
          lookups: lookupsOf(booking, referenceField).join("\n"),
          expires_at: bookingKeptUntil(booking),
          now: now(),
          look_at: hasHole || awaitsLinkUntil(booking) !== undefined ? lookAt() : "",
          has_hole: hasHole ? 1 : 0,
        },
        streamEntries(outcomes),
      );
    },

    async find(id) {
      return (await redis.get(indexKey(shards.of(id), id))) ?? undefined;
    },

    findOrWait(id, delivery, { canBeAsked, end }) {
      const shard = shards.of(id);
      const from = end === undefined ? now() : Date.parse(end);
      return findBookingOrWait(
        redis,
        { index: indexKey(shard, id), waiting: waitingKey(shard, id), unfinished: unfinishedKey(shard) },
        {
          id,
          identity: delivery.identity,
          delivery: JSON.stringify({ ...delivery, body: JSON.stringify(delivery.body) }),
          expires_at: keptUntil(from + retentionDays * DAY_MS),
          is_delivered: isDelivered(delivery) ? 1 : 0,
          look_at: canBeAsked ? lookAt() : "",
        },
      );
    },

    index(id, booking) {
      const shard = shards.of(id);
      return writeIndex(
        redis,
        { index: indexKey(shard, id), waiting: waitingKey(shard, id) },
        { booking_id: booking.id, expires_at: bookingKeptUntil(booking) },
      );
    },

    async waitingFor(id) {
      return (await redis.hvals(waitingKey(shards.of(id), id))).map(parseDelivery);
    },

    async clearWaiting(id, { identity }) {
      const shard = shards.of(id);
      const keys = {
        waiting: waitingKey(shard, id),
        unfinished: unfinishedKey(shard),
        incomplete: incompleteKey(shard),
        booking: bookingKey(shard, id),
      };
      await clearWaiting(redis, keys, { id, identity });
    },

    async erasedAt(inviteeId) {
      const at = await redis.get(erasedKey(shards.of(inviteeId), inviteeId));
      return at === null ? undefined : Number(at);
    },

    async markErased(inviteeId) {
      await redis.set(erasedKey(shards.of(inviteeId), inviteeId), String(now()), "NX");
    },

    async listIncomplete(id, { isAnswered }) {
      const shard = shards.of(id);
      const isListed = (await redis.zscore(incompleteKey(shard), id)) !== null;
      const step = redis.multi().zadd(incompleteKey(shard), "NX", String(now()), id);
      // Where somebody has told of it meanwhile, whoever looks after it takes it off the list again.
      step.zadd(unfinishedKey(shard), "NX", String(lookAt()), id);
      if (isAnswered && isListed) step.zadd(unfinishedKey(shard), "GT", String(now() + DAY_MS), id);
      await step.exec();
    },

    async incomplete(shard) {
      const key = incompleteKey(shard);
      const ids = await redis.zrange(key, "0", "-1");
      const since = ids.length === 0 ? [] : await redis.zmscore(key, ids);
      return ids.map((id, index) => ({ id, since: Number(since[index]) }));
    },

    ids: (shard) => idsUnder(redis, bookingKey(shard, "")),

    due: (shard, limit) => redis.zrangebyscore(unfinishedKey(shard), "-inf", String(now()), "LIMIT", 0, limit),

    async lookLater(id, again) {
      const shard = shards.of(id);
      // The job that was added may have ended by now, and have said that the next day is soon enough.
      if (again) await redis.zadd(unfinishedKey(shard), "XX", "GT", String(lookAt()), id);
      else await redis.multi().zrem(unfinishedKey(shard), id).zrem(incompleteKey(shard), id).exec();
    },
  };
}

/** What a script appends to the stream of outcomes. */
export function streamEntries(outcomes: readonly Outcome[]): string[] {
  return outcomes.map(toStreamEntry).flatMap(({ id, type, subject, event }) => [id, type, subject, event]);
}

/** Whether Calendly has told of it by itself, and not only when it was asked. */
export function isDelivered({ origin, deliveredLate }: Delivery): boolean {
  return origin !== "reconcile" || deliveredLate !== undefined;
}

function parseDelivery(json: string): Delivery {
  return deliveries.data.parse(JSON.parse(json));
}
