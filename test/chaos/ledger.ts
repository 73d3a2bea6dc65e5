import { isDeepStrictEqual } from "node:util";
import { mergeFact } from "@calendly-worker/core/bookings/booking";
import { conflictOf, type TakenTime, takenTime } from "@calendly-worker/core/bookings/conflicts";
import type { BookingFact } from "@calendly-worker/core/bookings/facts";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { queuePrefix, type Shards } from "@calendly-worker/core/redis/keys";
import { type BookingStore, createBookingStore } from "@calendly-worker/core/store/bookings";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { type Chain, factOf } from "../bookings/histories.ts";
import { play } from "../bookings/play.ts";
import { comparable, isCanonical, lastState } from "../bookings/sameness.ts";

/** Where what was acknowledged is now. Each fact is in one place, or it is lost. */
export interface Ledger {
  /** Facts that were acknowledged, unfit deliveries included. */
  readonly acknowledged: number;
  /** Known to its booking: to fold it again would change nothing. */
  readonly folded: number;
  readonly quarantined: number;
  /** Its job was tried for the last time. */
  readonly dead: number;
  /** In a queue, or kept until its booking is known. */
  readonly waiting: number;
  /** In none of these: identities of facts. */
  readonly lost: readonly string[];
  readonly outcomes: number;
  /** Outcome ids that are in the log more than once. */
  readonly doubled: readonly string[];
  /** What else is not as the history says, in words. */
  readonly wrong: readonly string[];
}

export interface Evidence {
  readonly redis: Redis;
  readonly shards: Shards;
  /** What happened at Calendly. */
  readonly chains: readonly Chain[];
  /** Identities that were answered 200. */
  readonly acknowledged: ReadonlySet<string>;
  /** Identities of genuine deliveries that are no facts. */
  readonly unfit: ReadonlySet<string>;
}

/** Holds what is kept and what was published against what happened. To be asked when nothing is on its way any more. */
export async function drawUp({ redis, shards, chains, acknowledged, unfit }: Evidence): Promise<Ledger> {
  const bookings = createBookingStore({
    redis,
    shards,
    retentionDays: 90,
    referenceField: "utm_content",
    now: Date.now,
  });
  const kept = await quarantineOf(redis, shards);
  const jobs = await jobStates(redis, shards);
  const events = await allOutcomes(redis, shards);
  const bySubject = Map.groupBy(
    events.filter(({ type }) => !type.startsWith("booking.conflict")),
    ({ subject }) => subject,
  );

  const wrong: string[] = [];
  const lost: string[] = [];
  const taken: TakenTime[] = [];
  let [folded, quarantined, dead, waiting] = [0, 0, 0, 0];
  for (const { bookingId, bodies } of chains) {
    const { booking, version } = await bookings.load(bookingId);
    const known: BookingFact[] = [];
    for (const fact of bodies.map(factOf)) {
      const merge = mergeFact(booking, fact);
      const isFolded = merge.kind === "merged" && isDeepStrictEqual(merge.booking, booking);
      if (isFolded) known.push(fact);
      if (!acknowledged.has(fact.identity)) {
        if (!isFolded) wrong.push(`${fact.identity} was never acknowledged, and is not folded`);
        continue;
      }
      // A hint at what came too late stays when the fact comes in time after all.
      const isHint = isFolded && kept.get(fact.identity) === "late";
      const places = [
        isFolded,
        kept.has(fact.identity) && !isHint,
        jobs.dead.has(fact.identity),
        !isFolded && (jobs.waiting.has(fact.identity) || (await waitsForItsBooking(bookings, fact))),
      ];
      const [inBooking, inQuarantine, amongDead, isWaiting] = places;
      if (inBooking) folded += 1;
      if (inQuarantine) quarantined += 1;
      if (amongDead) dead += 1;
      if (isWaiting) waiting += 1;
      const count = places.filter(Boolean).length;
      if (count === 0) lost.push(fact.identity);
      if (count > 1) wrong.push(`${fact.identity} is in ${count} places`);
      if (inQuarantine && kept.get(fact.identity) !== "late")
        wrong.push(`${fact.identity} is a fact, and in quarantine`);
    }
    wrong.push(...compareLogs(bookingId, known, bySubject.get(bookingId) ?? []));
    const time = takenTime(booking, version);
    if (time !== undefined) taken.push(time);
  }
  for (const identity of unfit) {
    if (!acknowledged.has(identity)) continue;
    if (kept.has(identity)) quarantined += 1;
    else lost.push(identity);
  }

  const ids = events.map(({ id }) => id);
  const subjects = new Set(chains.map(({ bookingId }) => bookingId));
  for (const subject of bySubject.keys()) if (!subjects.has(subject)) wrong.push(`${subject} never happened`);
  wrong.push(...difference("open conflicts", openConflicts(ids), expectedConflicts(taken)));
  return {
    acknowledged: acknowledged.size,
    folded,
    quarantined,
    dead,
    waiting,
    lost,
    outcomes: ids.length,
    doubled: [...Map.groupBy(ids, (id) => id)].flatMap(([id, all]) => (all.length > 1 ? [id] : [])),
    wrong,
  };
}

/** What a booking's log has to say of the facts that are known to it, in words; nothing where it says it. */
function compareLogs(bookingId: string, facts: readonly BookingFact[], events: readonly OutcomeEvent[]): string[] {
  const { outcomes } = play(bookingId, facts);
  const [expected, told] = [outcomes, events].map((all) => all.filter(isCanonical));
  const ids = [told, expected].map((all) => (all ?? []).map(({ id }) => id));
  if (!isDeepStrictEqual(ids[0], ids[1])) return [`${bookingId} has the log ${ids[0]}, not ${ids[1]}`];
  const isSame = isDeepStrictEqual((told ?? []).map(comparable), (expected ?? []).map(comparable));
  const isSameState = isDeepStrictEqual(lastState(events), lastState(outcomes));
  return [
    ...(isSame ? [] : [`${bookingId}: its outcomes say something else`]),
    ...(isSameState ? [] : [`${bookingId}: its no-shows end otherwise`]),
  ];
}

async function waitsForItsBooking(bookings: BookingStore, fact: BookingFact): Promise<boolean> {
  const ids = fact.kind === "routing_form" ? [fact.formId] : fact.kind === "gone" ? [] : inviteesNamedBy(fact);
  const waiting = await Promise.all(ids.map((id) => bookings.waitingFor(id)));
  return waiting.flat().some(({ identity }) => identity === fact.identity);
}

function inviteesNamedBy({ inviteeId, oldInvitee }: Extract<BookingFact, { kind: "invitee" }>): string[] {
  return oldInvitee === undefined ? [inviteeId] : [oldInvitee.id, inviteeId];
}

/** Why each identity is in quarantine. */
async function quarantineOf(redis: Redis, shards: Shards): Promise<ReadonlyMap<string, string>> {
  const quarantine = createQuarantine({ redis, shards, retentionDays: 90 });
  return new Map((await quarantine.list(1_000_000)).map(({ id, reason }) => [id, reason]));
}

async function jobStates(redis: Redis, shards: Shards) {
  const dead = new Set<string>();
  const waiting = new Set<string>();
  for (const shard of shards.all) {
    const prefix = queuePrefix(shard, deliveries.name);
    const failed = await redis.zrange(`${prefix}failed`, 0, "-1");
    const open = await Promise.all([
      redis.lrange(`${prefix}wait`, 0, -1),
      redis.lrange(`${prefix}active`, 0, -1),
      redis.zrange(`${prefix}delayed`, 0, "-1"),
    ]);
    for (const [ids, into] of [
      [failed, dead],
      [open.flat(), waiting],
    ] as const) {
      for (const id of ids) {
        const data = await redis.hget(`${prefix}${id}`, "data");
        if (data !== null) into.add(JSON.parse(data).identity);
      }
    }
  }
  return { dead, waiting };
}

/** The outcomes of all shards. */
async function allOutcomes(redis: Redis, shards: Shards): Promise<OutcomeEvent[]> {
  const read = await Promise.all(shards.all.map((shard) => readOutcomes(redis, shard, "0", 10_000_000)));
  return read.flat().map(({ event }) => event);
}

/** Names of the conflicts that were told and not resolved. */
export function openConflicts(ids: readonly string[]): string[] {
  const resolved = new Set(
    ids.filter((id) => id.endsWith(".resolved")).map((id) => id.replace(/resolved$/, "detected")),
  );
  // A number says how often the same conflict came back.
  return ids
    .filter((id) => id.endsWith(".detected") && !resolved.has(id))
    .map((id) => id.replace(/(\.\d+)?\.detected$/, ""))
    .toSorted();
}

interface Busy {
  readonly one: TakenTime;
  readonly start: number;
  readonly end: number;
}

/** The conflicts that bookings have in the end: each pair of a host's is looked at that can overlap. */
function expectedConflicts(taken: readonly TakenTime[]): string[] {
  const ofHosts = new Map<string, Busy[]>();
  for (const one of taken) {
    for (const [host, { start, end }] of Object.entries(one.busy)) {
      const all = ofHosts.get(host) ?? [];
      ofHosts.set(host, all);
      all.push({ one, start: Date.parse(start), end: Date.parse(end) });
    }
  }
  const names: string[] = [];
  for (const [host, all] of ofHosts) {
    const sorted = all.toSorted((a, b) => a.start - b.start);
    for (const [index, { one, end }] of sorted.entries()) {
      for (let next = index + 1; next < sorted.length; next++) {
        const { one: other, start } = sorted[next] as Busy;
        if (start >= end) break;
        const conflict = conflictOf(host, one, other);
        if (conflict !== undefined) names.push(`${conflict.pair}.conflict.${conflict.data.overlap.start}`);
      }
    }
  }
  return names.toSorted();
}

function difference(what: string, told: readonly string[], expected: readonly string[]): string[] {
  const [known, wanted] = [new Set(told), new Set(expected)];
  return [
    ...expected.filter((one) => !known.has(one)).map((one) => `${what}: ${one} is missing`),
    ...told.filter((one) => !wanted.has(one)).map((one) => `${what}: ${one} is too many`),
  ];
}
