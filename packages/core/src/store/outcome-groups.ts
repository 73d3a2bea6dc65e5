import { CursorExpiredError, compareStreamIds } from "../outcomes/cursor.ts";
import { GroupForgottenError } from "../outcomes/errors.ts";
import { parseEntry, type ReadOutcome } from "../outcomes/parse-entry.ts";
import { lastDropped } from "../outcomes/read-stream.ts";
import type { Redis } from "../redis/connect.ts";
import { fieldsOf } from "../redis/fields.ts";
import {
  groupAttemptsKey,
  groupDeadLettersKey,
  groupLeaseKey,
  groupMembersKey,
  outcomeStreamKey,
  outcomesTrimmedKey,
  type Shard,
} from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** How a group of consumers stands in a shard. */
export interface GroupState {
  readonly group: string;
  readonly shard: number;
  /** Outcomes that it has not read; undefined where Redis cannot tell. */
  readonly unread: number | undefined;
  /** Outcomes that it has read and not acknowledged. */
  readonly pending: number;
  /** Stream id of the oldest one that it has not acknowledged; undefined where it is up to date. */
  readonly oldest: string | undefined;
}

export interface DeadLetter {
  readonly group: string;
  readonly shard: number;
  /** Of the entry that the outcome was read from. */
  readonly streamId: string;
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly attempts: number;
  /** The name of the error; undefined where the handler threw something else. */
  readonly error: string | undefined;
  /** What the error said, which may hold personal data. */
  readonly reason: string;
  /** ISO 8601. */
  readonly at: string;
}

/** What the consumers of one group share in one shard. */
export interface GroupShard {
  /** Makes the group where it is not there; its first outcome is the one after `start`. */
  ensure(start: string): Promise<void>;
  /**
   * Makes a group again that Redis has lost, together with the outcomes. Throws a GroupForgottenError where some that it is
   * known to have read are there still: all of them would come once more.
   */
  makeAgain(): Promise<void>;
  /** Says that the consumer lives; takes or keeps the reading of the shard where `wants` and nobody else has it. */
  hold(
    holder: string,
    leaseMs: number,
    wants: boolean,
  ): Promise<{ readonly isHeld: boolean; readonly members: number }>;
  /** Gives the reading back; `isEnding` where the consumer itself ends. */
  leave(holder: string, isEnding: boolean): Promise<void>;
  /** Makes all that the group has read and not acknowledged the reader's. Throws a CursorExpiredError where some is gone. */
  takeOver(): Promise<void>;
  /**
   * The next ones after the last that the holder got (`0-0` for none): first what is pending already, then new ones, which
   * are pending from then on. Undefined where another reads by now. Throws a CursorExpiredError.
   */
  read(holder: string, after: string, count: number): Promise<ReadOutcome[] | undefined>;
  /** Stream id of the last one that the group has read. */
  lastRead(): Promise<string>;
  /** Goes on after what was dropped. */
  skipDropped(): Promise<void>;
  acknowledge(streamId: string): Promise<void>;
  /** Counts a try in vain; gives how many there were. */
  failed(streamId: string): Promise<number>;
  /** Tries in vain by stream id. */
  attempts(): Promise<ReadonlyMap<string, number>>;
  giveUp(
    holder: string,
    outcome: ReadOutcome,
    attempts: number,
    why: Pick<DeadLetter, "error" | "reason">,
  ): Promise<void>;
}

/** Everything that a group has read is pending under one name: whoever reads next finds it there, in order. */
const READER = "reader";
const PAGE = 500;
const DEAD_LETTERS_KEPT = 10_000;
/** Where Redis has lost count of what is unread, it is counted up to here. */
const COUNTED = 10_000;

const holdOutcomes = defineScript({
  name: "hold-outcomes",
  keys: ["lease", "members"],
  args: ["holder", "lease_ms", "wants"],
  reply: (raw) => {
    const [held, members] = raw as [number, number];
    return { isHeld: held === 1, members };
  },
});

const leaveOutcomes = defineScript({
  name: "leave-outcomes",
  keys: ["lease", "members"],
  args: ["holder", "is_ending"],
  reply: () => undefined,
});

type Entry = [string, string[]];
const readNext = defineScript({
  name: "read-outcomes",
  keys: ["outcomes", "lease", "trimmed"],
  args: ["group", "reader", "holder", "after", "count"],
  reply: (raw) => raw as ["lost"] | ["expired", string, string] | ["read", Entry[]],
});

const giveUpOutcome = defineScript({
  name: "give-up-outcome",
  keys: ["lease", "outcomes", "attempts", "dead"],
  args: ["holder", "group", "stream_id", "keep"],
  reply: () => undefined,
});

export function createGroupShard(redis: Redis, shard: Shard, group: string): GroupShard {
  const outcomes = outcomeStreamKey(shard);
  const lease = groupLeaseKey(shard, group);
  const members = groupMembersKey(shard, group);
  const attempts = groupAttemptsKey(shard, group);
  /** Stream id of the last one that the group is known to have read. */
  let known = "0-0";

  return {
    async ensure(start) {
      try {
        await redis.xgroup("CREATE", outcomes, group, start, "MKSTREAM");
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith("BUSYGROUP"))) throw error;
      }
    },

    async makeAgain() {
      const left = await redis.xrange(outcomes, "-", known, "COUNT", 1);
      if (left.length > 0) throw new GroupForgottenError(group, shard.index);
      await this.ensure(await lastDropped(redis, shard));
    },

    hold: (holder, leaseMs, wants) =>
      holdOutcomes(redis, { lease, members }, { holder, lease_ms: leaseMs, wants: wants ? 1 : 0 }),

    leave: (holder, isEnding) => leaveOutcomes(redis, { lease, members }, { holder, is_ending: isEnding ? 1 : 0 }),

    async takeOver() {
      const dropped = await lastDropped(redis, shard);
      let cursor = "0-0";
      do {
        const [next, , gone] = (await redis.xautoclaim(
          outcomes,
          group,
          READER,
          0,
          cursor,
          "COUNT",
          PAGE,
          "JUSTID",
        )) as [string, string[], string[]?];
        // What was erased is gone too, and rightly so.
        const lost = gone?.find((id) => compareStreamIds(id, dropped) <= 0);
        if (lost !== undefined) throw new CursorExpiredError(shard.index, lost, await oldestOf());
        cursor = next;
      } while (cursor !== "0-0");
    },

    async read(holder, after, count) {
      const keys = { outcomes, lease, trimmed: outcomesTrimmedKey(shard) };
      const reply = await readNext(redis, keys, { group, reader: READER, holder, after, count });
      if (reply[0] === "expired") throw new CursorExpiredError(shard.index, reply[1], await oldestOf());
      if (reply[0] === "lost") return undefined;
      const read = reply[1].map(parseEntry);
      known = read.at(-1)?.streamId ?? known;
      return read;
    },

    async lastRead() {
      const found = (await groupRows(redis, shard)).find(({ name }) => name === group);
      known = found?.lastRead ?? known;
      return found?.lastRead ?? "0-0";
    },

    async skipDropped() {
      const dropped = await lastDropped(redis, shard);
      const last = await this.lastRead();
      if (compareStreamIds(last, dropped) < 0) await redis.xgroup("SETID", outcomes, group, dropped);
    },

    async acknowledge(streamId) {
      await redis.multi().xack(outcomes, group, streamId).hdel(attempts, streamId).exec();
    },

    failed: (streamId) => redis.hincrby(attempts, streamId, 1),

    async attempts() {
      return new Map(Object.entries(await redis.hgetall(attempts)).map(([id, count]) => [id, Number(count)]));
    },

    async giveUp(holder, { streamId, event }, tries, { error, reason }) {
      const { id, type, subject } = event;
      const named = error === undefined ? {} : { error };
      const entry = { stream_id: streamId, id, type, subject, attempts: String(tries), ...named, reason };
      const dead = groupDeadLettersKey(shard, group);
      await giveUpOutcome(
        redis,
        { lease, outcomes, attempts, dead },
        { holder, group, stream_id: streamId, keep: DEAD_LETTERS_KEPT },
        Object.entries(entry).flat(),
      );
    },
  };

  async function oldestOf(): Promise<string> {
    const [oldest] = await redis.xrange(outcomes, "-", "+", "COUNT", 1);
    return oldest?.[0] ?? (await lastDropped(redis, shard));
  }
}

/** How all groups stand in a shard. */
export async function readGroups(redis: Redis, shard: Shard): Promise<GroupState[]> {
  const outcomes = outcomeStreamKey(shard);
  const rows = await groupRows(redis, shard);
  return await Promise.all(
    rows.map(async ({ name: group, pending, lag, lastRead }) => {
      const [, first] = (await redis.xpending(outcomes, group)) as [number, string | null];
      const next = lag === 0 ? [] : await redis.xrange(outcomes, `(${lastRead}`, "+", "COUNT", 1);
      const unread = lag ?? (await redis.xrange(outcomes, `(${lastRead}`, "+", "COUNT", COUNTED)).length;
      return { group, shard: shard.index, unread, pending, oldest: first ?? next[0]?.[0] };
    }),
  );
}

/** What a group has given up in a shard, the oldest first. */
export async function readDeadLetters(redis: Redis, shard: Shard, group: string): Promise<DeadLetter[]> {
  const entries = await redis.xrange(groupDeadLettersKey(shard, group), "-", "+");
  return entries.map((entry) => deadLetterOf(shard, group, entry));
}

function deadLetterOf(shard: Shard, group: string, [entryId, fields]: Entry): DeadLetter {
  const all = fieldsOf(fields);
  const of = (name: string) => all.get(name) ?? "";
  const at = new Date(Number(entryId.split("-")[0])).toISOString();
  const [streamId, id, type, subject] = [of("stream_id"), of("id"), of("type"), of("subject")];
  return {
    group,
    shard: shard.index,
    streamId,
    id,
    type,
    subject,
    attempts: Number(of("attempts")),
    error: all.get("error"),
    reason: of("reason"),
    at,
  };
}

/** Forgets what a group has given up in a shard: those that `isWanted`. Its position stays. Gives what it forgot. */
export async function dropDeadLetters(
  redis: Redis,
  shard: Shard,
  group: string,
  isWanted: (letter: DeadLetter) => boolean,
): Promise<DeadLetter[]> {
  const key = groupDeadLettersKey(shard, group);
  const dropped: DeadLetter[] = [];
  for (const entry of await redis.xrange(key, "-", "+")) {
    const letter = deadLetterOf(shard, group, entry);
    if (isWanted(letter) && (await redis.xdel(key, entry[0])) > 0) dropped.push(letter);
  }
  return dropped;
}

/** Forgets what the groups of a shard gave up before that time, in ms. */
export async function trimDeadLetters(redis: Redis, shard: Shard, before: number): Promise<void> {
  for (const { name } of await groupRows(redis, shard)) {
    await redis.xtrim(groupDeadLettersKey(shard, name), "MINID", before);
  }
}

export async function countDeadLetters(redis: Redis, shard: Shard, group: string): Promise<number> {
  return await redis.xlen(groupDeadLettersKey(shard, group));
}

/** Forgets what groups have given up of the bookings that `isErased` names. */
export async function eraseDeadLetters(
  redis: Redis,
  shard: Shard,
  isErased: (subject: string) => boolean,
): Promise<void> {
  for (const { name } of await groupRows(redis, shard)) {
    await dropDeadLetters(redis, shard, name, ({ subject }) => isErased(subject));
  }
}

interface GroupRow {
  readonly name: string;
  readonly pending: number;
  /** Undefined where Redis has lost count. */
  readonly lag: number | undefined;
  readonly lastRead: string;
}

async function groupRows(redis: Redis, shard: Shard): Promise<GroupRow[]> {
  let rows: unknown[];
  try {
    rows = (await redis.xinfo("GROUPS", outcomeStreamKey(shard))) as unknown[];
  } catch (error) {
    // Nothing was published yet, and nobody has asked for it.
    if (error instanceof Error && error.message.includes("no such key")) return [];
    throw error;
  }
  return rows.map((row) => {
    const fields = fieldsOf(row as unknown[]);
    const lag = fields.get("lag");
    return {
      name: String(fields.get("name")),
      pending: Number(fields.get("pending")),
      lag: typeof lag === "number" ? lag : undefined,
      lastRead: String(fields.get("last-delivered-id")),
    };
  });
}
