import { isUtf8 } from "node:buffer";
import type { Booking } from "../bookings/booking.ts";
import { fieldValue } from "../bookings/knowledge.ts";
import type { Outcome } from "../bookings/outcomes.ts";
import type { ReadOutcome } from "../outcomes/parse-entry.ts";
import { readOutcomes } from "../outcomes/read-stream.ts";
import type { deliveries } from "../queues/contracts.ts";
import type { JobSearch } from "../queues/job-search.ts";
import type { Redis } from "../redis/connect.ts";
import {
  bookingKey,
  erasedKey,
  incompleteKey,
  indexKey,
  lookupExpiryKey,
  lookupKey,
  outcomeStreamKey,
  quarantineIndexKey,
  type Shard,
  type Shards,
  unfinishedKey,
  waitingKey,
} from "../redis/keys.ts";
import { idsUnder } from "../redis/scan.ts";
import { type BookingStore, streamEntries } from "./bookings.ts";
import { defineScript } from "./define-script.ts";
import type { HostTimes } from "./host-times.ts";
import { eraseDeadLetters } from "./outcome-groups.ts";
import { mayBeOf, mentions, ownerOf, parse, redact, redactDelivery } from "./personal-data.ts";
import type { Quarantine } from "./quarantine.ts";

/** What was found of a person and is gone. */
export interface Erased {
  readonly bookings: number;
  /** Entries of outcome streams. */
  readonly outcomes: number;
  /** Jobs, and deliveries that waited or were in quarantine. */
  readonly deliveries: number;
  /**
   * Bookings of others that named the person, and do so no more until Calendly tells of them again; and deliveries of
   * others that failed for good or are in quarantine.
   */
  readonly others: number;
  /** Jobs that were running and will end without effect; what they hold is found when this is done again. */
  readonly running: number;
}

/**
 * Erases whoever has an e-mail address, and sees to it that no booking of theirs which was known by then comes back. What
 * Calendly says of them in bookings of others does, with the next delivery of those.
 */
export interface Eraser {
  /** One pass over all that is kept. Repeating it finds what was in flight. */
  erase(email: string): Promise<Erased>;
}

const eraseBooking = defineScript({
  name: "erase-booking",
  keys: ["booking", "erased", "outcomes", "unfinished", "incomplete", "lookup", "lookup_expiry"],
  args: ["id", "now"],
  reply: (raw) => raw === 1,
});

const retellOutcomes = defineScript({
  name: "retell-outcomes",
  keys: ["outcomes"],
  args: ["subject", "seen", "count"],
  reply: (raw) => raw === 1,
});

export function createEraser(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly bookings: BookingStore;
  readonly hostTimes: HostTimes;
  readonly quarantine: Quarantine;
  readonly deliveries: JobSearch<typeof deliveries>;
  readonly now: () => number;
}): Eraser {
  const { redis, shards, bookings, hostTimes, quarantine, now } = ports;

  return {
    async erase(address) {
      const email = address.trim().toLowerCase();
      const found = { bookings: 0, outcomes: 0, deliveries: 0, others: 0, running: 0 };
      // First what could bring anything back: whoever is marked is taken up by nobody any more.
      for (const { id, invitees } of await bookingsOf(email)) {
        for (const inviteeId of new Set([id, ...Object.keys(invitees)])) await bookings.markErased(inviteeId);
      }
      const jobs = await eraseJobs(email);
      const quarantined = await eraseQuarantined(email);
      found.deliveries += jobs.removed + (await eraseWaiting(email)) + quarantined.removed;
      found.running = jobs.running;

      const erased = new Set<string>();
      for (const booking of await bookingsOf(email)) {
        await eraseOne(booking);
        erased.add(booking.id);
      }
      found.bookings = erased.size;
      for (const shard of shards.all) await eraseDeadLetters(redis, shard, (subject) => erased.has(subject));
      found.others = jobs.redacted + quarantined.redacted + (await redactOthers(email));
      found.outcomes = await eraseOutcomes(email);
      return found;
    },
  };

  async function eraseOne(booking: Booking): Promise<void> {
    const { version } = await bookings.load(booking.id);
    const at = new Date(now()).toISOString();
    const taking = { bookingId: booking.id, version: version + 1, hosts: booking.hosts, taken: undefined };
    await hostTimes.take({ ...taking, changedAt: at, origin: "webhook" });
    for (const inviteeId of Object.keys(booking.invitees)) {
      await bookings.markErased(inviteeId);
      await redis.del(indexKey(shards.of(inviteeId), inviteeId));
    }
    const shard = shards.of(booking.id);
    const { id } = booking;
    const outcome: Outcome = {
      id: `${id}.erased`,
      type: "booking.erased",
      subject: id,
      time: at,
      data: { booking: { id } },
    };
    await eraseBooking(
      redis,
      {
        booking: bookingKey(shard, id),
        erased: erasedKey(shard, id),
        outcomes: outcomeStreamKey(shard),
        unfinished: unfinishedKey(shard),
        incomplete: incompleteKey(shard),
        lookup: lookupKey(shard),
        lookup_expiry: lookupExpiryKey(shard),
      },
      { id, now: now() },
      streamEntries([outcome]),
    );
  }

  /**
   * Marks whom a delivery is about. Others' deliveries that only name the person are dropped when they are done with; one
   * that failed for good is in no booking, and may be tried again.
   */
  async function eraseJobs(email: string) {
    const owners: string[] = [];
    const result = await ports.deliveries.remove(({ body }, isDone) => {
      const owner = ownerOf(body, email);
      if (owner !== undefined) owners.push(owner);
      return owner !== undefined || mayBeOf(body, email) || (isDone && mentions(JSON.stringify(body), email));
    });
    for (const owner of owners) await bookings.markErased(owner);
    const redacted = await ports.deliveries.changeFailed(({ body }) => {
      const left = mentions(JSON.stringify(body), email) ? redactDelivery(body, email) : undefined;
      return left === undefined ? undefined : { body: JSON.stringify(left) };
    });
    return { ...result, redacted };
  }

  async function eraseWaiting(email: string): Promise<number> {
    let count = 0;
    for await (const id of awaitedIds()) {
      for (const delivery of await bookings.waitingFor(id)) {
        const owner = ownerOf(delivery.body, email);
        if (owner !== undefined) await bookings.markErased(owner);
        else if (!mayBeOf(delivery.body, email)) continue;
        await bookings.clearWaiting(id, delivery);
        count += 1;
      }
    }
    return count;
  }

  /** Others' deliveries that name the person are in no booking: they stay without, unless that cannot be struck out of them. */
  async function eraseQuarantined(email: string) {
    const found = { removed: 0, redacted: 0 };
    for (const id of await redis.zrange(quarantineIndexKey(shards.first), 0, "-1")) {
      const entry = await quarantine.get(id);
      const text = entry === undefined ? "" : Buffer.from(entry.body).toString("utf8");
      if (entry === undefined || !mentions(text, email)) continue;
      const body = parse(text);
      const owner = ownerOf(body, email);
      if (owner !== undefined) await bookings.markErased(owner);
      const left = isUtf8(entry.body) ? redactDelivery(body, email) : undefined;
      if (left === undefined) {
        if (await quarantine.drop(id)) found.removed += 1;
      } else if (await quarantine.amend(entry, Buffer.from(JSON.stringify(left)))) found.redacted += 1;
    }
    return found;
  }

  /** Bookings of others that name the person, as a guest or in an answer, go on without the address. */
  async function redactOthers(email: string): Promise<number> {
    let count = 0;
    for await (const { id } of allBookings()) {
      for (let commit = "conflict"; commit === "conflict"; ) {
        const { version, booking } = await bookings.load(id);
        if (version === 0 || !mentions(JSON.stringify(booking), email)) break;
        commit = await bookings.commit({ version, booking: redact(booking, email), outcomes: [] });
        if (commit === "written") count += 1;
      }
    }
    return count;
  }

  async function eraseOutcomes(email: string): Promise<number> {
    let count = 0;
    for (const shard of shards.all) {
      for (let isDone = false; !isDone; ) {
        const entries = await outcomesIn(shard);
        const naming = entries.filter(({ text }) => mentions(text, email));
        const own = naming.filter(({ event }) => isOf(event, email));
        for (const { streamId } of own) count += await redis.xdel(outcomeStreamKey(shard), streamId);
        const others = new Set(naming.filter((entry) => !own.includes(entry)).map(({ event }) => event.subject));
        isDone = true;
        for (const subject of others) {
          const log = entries.filter(({ event }) => event.subject === subject);
          const named = log.slice(log.findIndex((entry) => naming.includes(entry)));
          if (!(await tellAgain(shard, named, entries.at(-1)?.streamId ?? "0", email))) isDone = false;
        }
      }
    }
    return count;
  }

  /**
   * An entry of a stream cannot be changed: the others' outcomes are told again without the person, under the same ids
   * and with all that followed them, so that their order stays. False where something came in between.
   */
  async function tellAgain(shard: Shard, log: readonly StoredOutcome[], seen: string, email: string): Promise<boolean> {
    const [subject = ""] = log.map(({ event }) => event.subject);
    return await retellOutcomes(redis, { outcomes: outcomeStreamKey(shard) }, { subject, seen, count: log.length }, [
      ...log.map(({ streamId }) => streamId),
      ...log.flatMap(({ event }) => [event.id, event.type, JSON.stringify(redact(event, email))]),
    ]);
  }

  async function outcomesIn(shard: Shard): Promise<StoredOutcome[]> {
    const all: StoredOutcome[] = [];
    for (let page = await readOutcomes(redis, shard); page.length > 0; ) {
      all.push(...page.map((outcome) => ({ ...outcome, text: JSON.stringify(outcome.event) })));
      page = await readOutcomes(redis, shard, all.at(-1)?.streamId);
    }
    return all;
  }

  async function bookingsOf(email: string): Promise<Booking[]> {
    const found: Booking[] = [];
    for await (const booking of allBookings()) {
      const emails = Object.values(booking.invitees).map(({ invitee }) => fieldValue(invitee.email)?.toLowerCase());
      if (emails.includes(email)) found.push(booking);
    }
    return found;
  }

  async function* allBookings(): AsyncGenerator<Booking> {
    for (const shard of shards.all) {
      for await (const id of bookings.ids(shard)) {
        const { version, booking } = await bookings.load(id);
        if (version > 0) yield booking;
      }
    }
  }

  async function* awaitedIds(): AsyncGenerator<string> {
    for (const shard of shards.all) yield* idsUnder(redis, waitingKey(shard, ""));
  }
}

interface StoredOutcome extends ReadOutcome {
  readonly text: string;
}

/** Whether an outcome tells of a booking that the person made. */
function isOf({ data }: ReadOutcome["event"], email: string): boolean {
  return "booking" in data && "invitee" in data.booking && data.booking.invitee.email?.toLowerCase() === email;
}
