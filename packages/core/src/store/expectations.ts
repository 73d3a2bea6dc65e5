import type { Outcome } from "../bookings/outcomes.ts";
import type { Redis } from "../redis/connect.ts";
import {
  expectationCountsKey,
  expectationKey,
  expectationsDueKey,
  outcomeStreamKey,
  type Shard,
  type Shards,
} from "../redis/keys.ts";
import type { BookingSearch } from "./booking-search.ts";
import { streamEntries } from "./bookings.ts";
import { defineScript } from "./define-script.ts";

/** A booking that somebody has started, known by the reference that it will bear. */
export interface Expectation {
  readonly reference: string;
  /** Times are ISO 8601. */
  readonly until: string;
  readonly announcedAt: string;
  readonly state: "waiting" | "completed" | "expired";
  /** Of the booking that completed it, or came too late. */
  readonly bookingId: string | null;
  readonly settledAt: string | null;
}

export interface Expectations {
  /** Announcing again moves the end, while it is waited for. A booking that is there already completes it at once. */
  announce(reference: string, untilMs: number): Promise<Expectation>;
  find(reference: string): Promise<Expectation | undefined>;
  /** A booking with that reference is known. */
  complete(reference: string, bookingId: string): Promise<void>;
  /**
   * Ends all whose time is over: completed where their booking is known, else expired. Gives how many expired; what is
   * left when the signal aborts is ended the next time.
   */
  expire(signal: AbortSignal): Promise<number>;
  counts(): Promise<{ readonly waiting: number; readonly completed: number; readonly expired: number }>;
}

const DAY_MS = 86_400_000;
const BATCH = 100;

const announceExpectation = defineScript({
  name: "announce-expectation",
  keys: ["expectation", "due"],
  args: ["reference", "until_ms", "now", "expires_at"],
  reply: () => undefined,
});

const settleExpectation = defineScript({
  name: "settle-expectation",
  keys: ["expectation", "due", "counts", "outcomes"],
  args: ["reference", "booking_id", "now"],
  reply: (raw) => raw === 1,
});

export function createExpectations(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly search: BookingSearch;
  readonly retentionDays: number;
  readonly now: () => number;
}): Expectations {
  const { redis, shards, search, retentionDays, now } = ports;

  async function settle(reference: string, bookingId: string, outcomes: readonly Outcome[] = []): Promise<boolean> {
    const shard = shards.of(reference);
    const keys = {
      expectation: expectationKey(shard, reference),
      due: expectationsDueKey(shard),
      counts: expectationCountsKey(shard),
      outcomes: outcomeStreamKey(shard),
    };
    return await settleExpectation(
      redis,
      keys,
      { reference, booking_id: bookingId, now: now() },
      streamEntries(outcomes),
    );
  }

  async function completeIfBooked(reference: string): Promise<boolean> {
    const { bookings } = await search.find({ reference }, { limit: 1 });
    const [booking] = bookings;
    if (booking === undefined) return false;
    await settle(reference, booking.id);
    return true;
  }

  /** Whether it expired. */
  async function end(reference: string): Promise<boolean> {
    // Its booking may have come while whoever was to say so was killed.
    if (await completeIfBooked(reference)) return false;
    const expectation = await find(reference);
    return await settle(reference, "", expectation === undefined ? [] : [expiredOutcome(expectation)]);
  }

  async function find(reference: string): Promise<Expectation | undefined> {
    const fields = await redis.hgetall(expectationKey(shards.of(reference), reference));
    if (fields["state"] === undefined) return undefined;
    return {
      reference,
      until: timeOf(fields["until"]),
      announcedAt: timeOf(fields["announced_at"]),
      state: fields["state"] as Expectation["state"],
      bookingId: fields["booking_id"] ?? null,
      settledAt: fields["settled_at"] === undefined ? null : timeOf(fields["settled_at"]),
    };
  }

  return {
    find,

    async announce(reference, untilMs) {
      const shard = shards.of(reference);
      await announceExpectation(
        redis,
        { expectation: expectationKey(shard, reference), due: expectationsDueKey(shard) },
        { reference, until_ms: untilMs, now: now(), expires_at: Math.max(untilMs, now()) + retentionDays * DAY_MS },
      );
      await completeIfBooked(reference);
      const announced = await find(reference);
      if (announced === undefined) throw new Error("what was announced a moment ago is gone: is Redis losing keys?");
      return announced;
    },

    async complete(reference, bookingId) {
      await settle(reference, bookingId);
    },

    async expire(signal) {
      let expired = 0;
      for (const shard of shards.all) {
        // Whatever is looked at is due no more, so that each batch has others.
        for (let isMore = true; isMore; ) {
          const due = await dueOf(shard);
          for (const reference of due) {
            signal.throwIfAborted();
            if (await end(reference)) expired += 1;
          }
          isMore = due.length === BATCH;
        }
      }
      return expired;
    },

    async counts() {
      const all = await Promise.all(
        shards.all.map(async (shard) => {
          const { completed, expired } = await redis.hgetall(expectationCountsKey(shard));
          const waiting = await redis.zcard(expectationsDueKey(shard));
          return { waiting, completed: Number(completed ?? 0), expired: Number(expired ?? 0) };
        }),
      );
      const sum = (of: (counts: { waiting: number; completed: number; expired: number }) => number) =>
        all.reduce((total, counts) => total + of(counts), 0);
      return {
        waiting: sum(({ waiting }) => waiting),
        completed: sum(({ completed }) => completed),
        expired: sum(({ expired }) => expired),
      };
    },
  };

  async function dueOf(shard: Shard): Promise<string[]> {
    return await redis.zrangebyscore(expectationsDueKey(shard), "-inf", now(), "LIMIT", 0, BATCH);
  }
}

/** Named after its end, so that one whose end was moved and which is announced again later is another. */
function expiredOutcome({ reference, until, announcedAt }: Expectation): Outcome {
  return {
    id: `${reference}.expectation_expired.${until}`,
    type: "booking.expectation_expired",
    subject: reference,
    time: until,
    data: { expectation: { reference, until, announcedAt } },
  };
}

function timeOf(ms: string | undefined): string {
  return new Date(Number(ms)).toISOString();
}
