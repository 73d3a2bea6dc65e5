import {
  type Conflict,
  conflictOf,
  followPair,
  NOTHING_TOLD,
  type PairState,
  pairOf,
  type TakenTime,
} from "../bookings/conflicts.ts";
import type { Origin } from "../bookings/facts.ts";
import type { Alternatives } from "../bookings/outcome-data.ts";
import type { Outcome } from "../bookings/outcomes.ts";
import type { Redis } from "../redis/connect.ts";
import {
  hostBookingsKey,
  hostExpiryKey,
  hostPairsKey,
  hostPartnersKey,
  hostTimesKey,
  openConflictsKey,
  outcomeStreamKey,
  type Shard,
  type Shards,
} from "../redis/keys.ts";
import { streamEntries } from "./bookings.ts";
import { defineScript } from "./define-script.ts";

/** What one booking takes of its hosts' time, at one version. */
export interface Taking {
  readonly bookingId: string;
  readonly version: number;
  /** URIs of all who were ever its hosts. */
  readonly hosts: readonly string[];
  /** Undefined where it takes nothing (any more). */
  readonly taken: TakenTime | undefined;
  /** When the booking last changed, ISO 8601: a conflict that is no more ended then. */
  readonly changedAt: string;
  readonly origin: Origin;
}

/** How many conflicts are open whose overlap is not over. */
export async function countOpenConflicts(redis: Redis, shard: Shard, now: number): Promise<number> {
  return await redis.zcount(openConflictsKey(shard), `(${now}`, "+inf");
}

export interface HostTimes {
  /**
   * Writes down what a booking takes and tells which conflicts came and went with it; gives the outcomes. Repeating it
   * changes nothing.
   */
  take(taking: Taking): Promise<Outcome[]>;
}

/** A change under this many tries in a row is left to the job's next try. */
const MAX_TRIES = 20;
const DAY_MS = 86_400_000;

const takeHostTime = defineScript({
  name: "take-host-time",
  keys: ["times", "bookings", "told", "partners", "expiry"],
  args: ["id", "version", "taken", "busy_from", "busy_to", "expires_at", "now"],
  reply: (raw) => (Array.isArray(raw) ? readNeighbours(raw as [string[], string[]]) : undefined),
});

const tellConflict = defineScript({
  name: "tell-conflict",
  keys: ["bookings", "told", "partners", "outcomes", "open"],
  args: [
    "pair",
    "expected",
    "state",
    "first",
    "first_version",
    "second",
    "second_version",
    "member",
    "open_until",
    "now",
  ],
  reply: (raw) => raw === 1,
});

export function createHostTimes(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly retentionDays: number;
  readonly now: () => number;
  /** In ms: a conflict that came to be before is told to nobody. */
  readonly publishFrom: () => number;
  /** Free times instead of that one; null where they cannot be had now. */
  readonly alternativesTo: (taken: TakenTime) => Promise<Alternatives>;
}): HostTimes {
  const { redis, shards, retentionDays, now } = ports;

  async function takeOf(host: string, taking: Taking): Promise<Outcome[]> {
    const hostId = hostIdOf(host);
    const shard = shards.of(hostId);
    const keys = {
      bookings: hostBookingsKey(shard, hostId),
      told: hostPairsKey(shard, hostId),
      partners: hostPartnersKey(shard, hostId),
    };
    const busy = taking.taken?.busy[host];
    const [from, to] = [Date.parse(busy?.start ?? ""), Date.parse(busy?.end ?? "")];
    const told: Outcome[] = [];
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const neighbours = await takeHostTime(
        redis,
        { ...keys, times: hostTimesKey(shard, hostId), expiry: hostExpiryKey(shard, hostId) },
        {
          id: taking.bookingId,
          version: taking.version,
          taken: busy === undefined ? "" : JSON.stringify(taking.taken),
          busy_from: busy === undefined ? "" : from,
          busy_to: busy === undefined ? "" : to,
          expires_at: Math.max(busy === undefined ? 0 : to, now()) + retentionDays * DAY_MS,
          now: now(),
        },
      );
      // Whoever wrote the newer version tells.
      if (neighbours === undefined) return told;
      const changes = await changesOf(host, taking, neighbours);
      let isCurrent = true;
      for (const { otherId, otherVersion, before, state, outcomes } of changes) {
        isCurrent = await tellConflict(
          redis,
          { ...keys, outcomes: outcomeStreamKey(shard), open: openConflictsKey(shard) },
          {
            pair: pairOf(taking.bookingId, otherId),
            expected: before ?? "",
            state: JSON.stringify(state),
            first: taking.bookingId,
            first_version: taking.version,
            second: otherId,
            second_version: otherVersion,
            member: `${hostId}/${pairOf(taking.bookingId, otherId)}`,
            open_until: state.open === undefined ? "" : Date.parse(state.open.data.overlap.end),
            now: now(),
          },
          streamEntries(outcomes),
        );
        if (!isCurrent) break;
        told.push(...outcomes);
      }
      if (isCurrent) return told;
    }
    throw new Error(`the time of a host changed under ${MAX_TRIES} tries in a row to tell of it`);
  }

  /** What follows for every pair that the booking is part of, or was. */
  async function changesOf(host: string, taking: Taking, { overlapping, told }: Neighbours) {
    const { taken, changedAt, origin } = taking;
    const others = new Map(overlapping.map((other) => [other.bookingId, other]));
    const changes = [];
    for (const otherId of new Set([...told.keys(), ...others.keys()])) {
      const other = others.get(otherId);
      const conflict: Conflict | undefined = taken && other && conflictOf(host, taken, other);
      const before = told.get(otherId);
      const state: PairState = before === undefined ? NOTHING_TOLD : JSON.parse(before.state);
      if (state.open?.data.overlap.start === conflict?.data.overlap.start) continue;
      const later = taken && other && (Date.parse(taken.since) >= Date.parse(other.since) ? taken : other);
      const next = followPair(state, conflict, {
        since: later?.since ?? changedAt,
        until: changedAt,
        alternatives: conflict && later && isNews(later) ? await ports.alternativesTo(later) : null,
        origin,
        publishFrom: ports.publishFrom(),
        toldByOthers: conflict === undefined ? [] : await toldByOthers(host, taking, conflict.pair),
      });
      const otherVersion = before?.otherVersion ?? String(other?.version ?? "");
      changes.push({ otherId, otherVersion, before: before?.state, ...next });
    }
    return changes;
  }

  /** Whoever tells of a pair is, or was once, a host of both its bookings. */
  async function toldByOthers(host: string, { hosts }: Taking, pair: string): Promise<string[]> {
    const others = hosts.filter((other) => other !== host).map(hostIdOf);
    const states = await Promise.all(others.map((id) => redis.hget(hostPairsKey(shards.of(id), id), pair)));
    return states.flatMap((state) => (state === null ? [] : (JSON.parse(state) as PairState).told));
  }

  const isNews = ({ since }: TakenTime) => Date.parse(since) >= ports.publishFrom();

  return {
    async take(taking) {
      const outcomes: Outcome[] = [];
      for (const host of inOrder(taking)) outcomes.push(...(await takeOf(host, taking)));
      return outcomes;
    },
  };
}

/**
 * The hosts that a booking has left come first, and of the others the smallest, who tells, last: whoever could have told of
 * the booking as it was before cannot any more by then, so that no name is given twice, and an end is told before a beginning.
 */
function inOrder({ hosts, taken }: Taking): string[] {
  const isLeft = (host: string) => taken?.busy[host] === undefined;
  const greatestFirst = hosts.toSorted((x, y) => (x < y ? 1 : -1));
  return [...greatestFirst.filter(isLeft), ...greatestFirst.filter((host) => !isLeft(host))];
}

interface Neighbours {
  readonly overlapping: readonly TakenTime[];
  /** What has been told of the booking and another one, by the other's id. `state` is JSON. */
  readonly told: ReadonlyMap<string, { readonly otherVersion: string; readonly state: string }>;
}

function readNeighbours([overlapping, told]: [string[], string[]]): Neighbours {
  const pairs = new Map<string, { otherVersion: string; state: string }>();
  for (let i = 0; i < told.length; i += 3) {
    const [otherId = "", otherVersion = "", state = ""] = told.slice(i, i + 3);
    pairs.set(otherId, { otherVersion, state });
  }
  return { overlapping: overlapping.map((taken) => JSON.parse(taken) as TakenTime), told: pairs };
}

/** A host's URI ends in its id, which says the shard too. */
export function hostIdOf(uri: string): string {
  return uri.slice(uri.lastIndexOf("/") + 1);
}
