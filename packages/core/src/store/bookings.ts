import type { Redis } from "ioredis";
import { type Booking, emptyBooking } from "../bookings/booking.ts";
import type { Outcome } from "../bookings/outcomes.ts";
import { toStreamEntry } from "../outcomes/stream-entry.ts";
import type { DataOf } from "../queues/contract.ts";
import { deliveries } from "../queues/contracts.ts";
import { bookingKey, inviteeIndexKey, outcomeStreamKey, type Shards, waitingKey } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** A booking as it was read. `version` is what a commit of a change to it must still find. */
export interface Versioned {
  readonly version: number;
  readonly booking: Booking;
}

export type Delivery = DataOf<typeof deliveries>;

export interface BookingStore {
  /** The stored booking, or an empty one of version 0. */
  load(bookingId: string): Promise<Versioned>;
  /** Writes the booking and appends the outcomes, both or neither; false when the version is another by now. */
  commit(change: Versioned & { readonly outcomes: readonly Outcome[] }): Promise<boolean>;
  /** The booking of an invitee; where it is not known, keeps `delivery` until it is and gives undefined. */
  findOrWait(inviteeId: string, delivery: Delivery): Promise<string | undefined>;
  /** Writes down which booking an invitee belongs to; gives the deliveries that waited for that. */
  index(inviteeId: string, bookingId: string): Promise<Delivery[]>;
  /** Forgets that a delivery waited for an invitee, once it is committed. */
  clearWaiting(inviteeId: string, delivery: Delivery): Promise<void>;
}

const commitBooking = defineScript({
  name: "commit-booking",
  keys: ["booking", "outcomes"],
  args: ["expected_version", "record"],
  reply: (raw) => raw === 1,
});

const findBookingOrWait = defineScript({
  name: "find-booking-or-wait",
  keys: ["index", "waiting"],
  args: ["identity", "delivery"],
  reply: (raw) => (typeof raw === "string" ? raw : undefined),
});

const indexInvitee = defineScript({
  name: "index-invitee",
  keys: ["index", "waiting"],
  args: ["booking_id"],
  reply: (raw) => (raw as string[]).map((delivery) => deliveries.data.parse(JSON.parse(delivery))),
});

export function createBookingStore(redis: Redis, shards: Shards): BookingStore {
  return {
    async load(bookingId) {
      const [version, record] = await redis.hmget(bookingKey(shards.of(bookingId), bookingId), "version", "record");
      if (typeof version !== "string" || typeof record !== "string") {
        return { version: 0, booking: emptyBooking(bookingId) };
      }
      return { version: Number(version), booking: JSON.parse(record) as Booking };
    },

    commit({ version, booking, outcomes }) {
      const shard = shards.of(booking.id);
      return commitBooking(
        redis,
        { booking: bookingKey(shard, booking.id), outcomes: outcomeStreamKey(shard) },
        { expected_version: version, record: JSON.stringify(booking) },
        outcomes.map(toStreamEntry).flatMap(({ id, type, subject, event }) => [id, type, subject, event]),
      );
    },

    findOrWait(inviteeId, delivery) {
      const shard = shards.of(inviteeId);
      return findBookingOrWait(
        redis,
        { index: inviteeIndexKey(shard, inviteeId), waiting: waitingKey(shard, inviteeId) },
        { identity: delivery.identity, delivery: JSON.stringify(delivery) },
      );
    },

    index(inviteeId, bookingId) {
      const shard = shards.of(inviteeId);
      return indexInvitee(
        redis,
        { index: inviteeIndexKey(shard, inviteeId), waiting: waitingKey(shard, inviteeId) },
        { booking_id: bookingId },
      );
    },

    async clearWaiting(inviteeId, delivery) {
      await redis.hdel(waitingKey(shards.of(inviteeId), inviteeId), delivery.identity);
    },
  };
}
