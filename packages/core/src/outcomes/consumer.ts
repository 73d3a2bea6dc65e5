import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { createShards, deploymentKey, type Shard, type Shards } from "../redis/keys.ts";
import { duplicate, type Redis } from "../redis/nodes.ts";
import { createGroupShard, type GroupShard, readGroups } from "../store/outcome-groups.ts";
import { CursorExpiredError, CursorInvalidError, justBefore, type Position, parseCursor } from "./cursor.ts";
import { NotInstalledError } from "./errors.ts";
import type { OutcomeEvent } from "./outcome-event.ts";
import { assertKept, beginning, newestOf } from "./read-stream.ts";
import { type OutcomeContext, openShardSession, type ShardSession } from "./shard-session.ts";
import { unlessAborted } from "./unless-aborted.ts";
import { GOODBYE_MS, withinTime } from "./within-time.ts";

export { openRedis } from "../redis/open.ts";
export { CursorExpiredError, CursorInvalidError } from "./cursor.ts";
export { GroupForgottenError, NotInstalledError } from "./errors.ts";
export type { OutcomeEvent } from "./outcome-event.ts";
export type { OutcomeContext } from "./shard-session.ts";

/** Types of outcomes, for a `switch` over `outcome.type` that the compiler checks. */
export type OutcomeType = OutcomeEvent["type"];
export type OutcomeOfType<Type extends OutcomeType> = Extract<OutcomeEvent, { type: Type }>;

export interface OutcomeConsumerOptions {
  /** A connection to the installation's Redis, as of `openRedis`. It is only copied: the consumer opens connections of its own. */
  readonly redis: Redis;
  /** Consumers of one group share the outcomes; each group gets all. Letters, digits, `_`, `.` and `-`, up to 64. */
  readonly group: string;
  /** Of this consumer, for people who look at the group. By default a random one. */
  readonly name?: string;
  /**
   * Handles an outcome. Resolved means handled: it is acknowledged then, and comes no more. Rejected means that it is
   * tried again. One may come again all the same (a crash between the two): its `id` says so.
   */
  readonly onOutcome: (outcome: OutcomeEvent, context: OutcomeContext) => Promise<void>;
  /** Where a group begins that is not there yet; one that is there goes on where it was. By default `beginning`. */
  readonly start?: "beginning" | "now" | { readonly after: string } | { readonly time: Date };
  /** Handlers at once, per shard; those of one booking follow one another. By default 10. */
  readonly concurrency?: number;
  /** Outcomes read and not finished, per shard: reading waits when there are as many. By default 200. */
  readonly maxInFlight?: number;
  /** Tries before an outcome is put aside as a dead letter. By default 50: about half an hour. */
  readonly maxAttempts?: number;
  /** The wait before a try doubles from the first to the longest, in ms. By default 500 and 60,000. */
  readonly retry?: { readonly firstDelayMs: number; readonly longestDelayMs: number };
  /** After this silence, in ms, another consumer takes over a shard. By default 15,000. */
  readonly leaseMs?: number;
  /** What to do where outcomes were dropped before the group has read them. By default `run` rejects. */
  readonly whenExpired?: "stop" | "continue";
  /** Told of every failed try, and of trouble with Redis. */
  readonly onError?: (error: unknown) => void;
  /** Told of an outcome that is put aside. */
  readonly onDeadLetter?: (outcome: OutcomeEvent, reason: string) => void;
}

/** How far a group is behind in one shard. */
export interface OutcomeLag {
  readonly shard: number;
  /** Outcomes not read yet. */
  readonly unread: number;
  /** Outcomes read and not acknowledged. */
  readonly pending: number;
  /** Age of the oldest one that is not acknowledged, in ms; 0 where there is none. */
  readonly oldestAgeMs: number;
}

export interface OutcomeConsumer {
  /**
   * Consumes until `stop`, however long Redis is away or takes nothing. Rejects where waiting does not help: with a
   * CursorExpiredError where outcomes were dropped before the group has read them, with a CursorInvalidError where `start`
   * holds none of ours, with a GroupForgottenError where somebody forgets the group meanwhile, with a NotInstalledError
   * where there are no outcomes yet.
   */
  run(): Promise<void>;
  /** How far the group is behind, shard by shard. */
  lag(): Promise<OutcomeLag[]>;
  /** Takes no more; what is being handled gets `deadlineMs` to end. By default 10,000. */
  stop(options?: { readonly deadlineMs?: number }): Promise<void>;
}

const GROUP = /^[\w.-]{1,64}$/;
const STOP_MS = 10_000;
const REDIS_PAUSE_MS = 500;

/**
 * Consumes outcomes at least once, those of one booking in order. The shards of an installation are shared among the live
 * consumers of a group; each is read by one of them at a time.
 */
export function createOutcomeConsumer(options: OutcomeConsumerOptions): OutcomeConsumer {
  const { group, onOutcome, onError = () => {}, onDeadLetter = () => {}, whenExpired = "stop" } = options;
  if (!GROUP.test(group)) {
    throw new TypeError(`group: expected 1 to 64 letters, digits, "_", "." or "-", got ${JSON.stringify(group)}`);
  }
  const leaseMs = positive("leaseMs", options.leaseMs ?? 15_000);
  const concurrency = positive("concurrency", options.concurrency ?? 10);
  const maxInFlight = positive("maxInFlight", options.maxInFlight ?? 200);
  const maxAttempts = positive("maxAttempts", options.maxAttempts ?? 50);
  const retry = { firstDelayMs: 500, longestDelayMs: 60_000, jitter: 0.5, ...options.retry };
  const holder = `${options.name ?? "consumer"}/${randomUUID()}`;
  const redis = copyOf(options.redis);

  const stopping = new AbortController();
  const held = new Set<Shard>();
  /** Shards that this consumer may hold, so that all live ones hold as many. */
  let share = Number.POSITIVE_INFINITY;
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  let deadlineMs = STOP_MS;
  let running: Promise<unknown> | undefined;

  function copyOf(template: Redis): Redis {
    const copy = duplicate(template, { maxRetriesPerRequest: null, enableOfflineQueue: true });
    let isDown = false;
    copy.on("ready", () => {
      isDown = false;
    });
    copy.on("error", (error) => {
      if (!isDown) onError(error);
      isDown = true;
    });
    return copy;
  }

  const wait = (ms: number) => pause(ms, undefined, { signal: stopping.signal }).catch(() => {});

  /** Holds a shard whenever the group lets this consumer, and reads it meanwhile. */
  async function tend(shard: Shard, shards: Shards): Promise<void> {
    const own: GroupShard = createGroupShard(redis, shard, group);
    let session: ShardSession | undefined;
    let heldUntil = 0;

    /** Nobody else gets the shard while something of it is being handled here. */
    async function release(isEnding: boolean, endWithinMs: number): Promise<void> {
      held.delete(shard);
      const closing = session?.close(endWithinMs);
      session = undefined;
      const renewing = setInterval(() => {
        own.hold(holder, leaseMs, true).catch(onError);
      }, leaseMs / 3);
      await closing;
      clearInterval(renewing);
      await withinTime(GOODBYE_MS, own.leave(holder, isEnding));
    }

    async function look(): Promise<void> {
      // Also while another reads: this one must know what was read, should the group be gone when its turn comes.
      await own.lastRead();
      if (stopping.signal.aborted) return;
      const askedAt = performance.now();
      const { isHeld, members } = await own.hold(holder, leaseMs, held.has(shard) || held.size < share);
      if (stopping.signal.aborted) return;
      share = Math.ceil(shards.all.length / members);
      if (!isHeld) {
        held.delete(shard);
        await session?.close(0);
        session = undefined;
        return;
      }
      heldUntil = askedAt + leaseMs;
      held.add(shard);
      if (held.size > share) await release(false, deadlineMs);
      else session ??= open();
    }

    function open(): ShardSession {
      const opened = openShardSession({
        blocking: copyOf(options.redis),
        shard,
        group: own,
        holder,
        isHeld: () => performance.now() < heldUntil,
        onOutcome,
        onError,
        onDeadLetter,
        whenExpired,
        concurrency,
        maxInFlight,
        maxAttempts,
        retry,
      });
      opened.ended.then(
        () => {
          // It found that another reads, or that Redis was emptied: whether it may begin anew is asked again.
          if (session === opened) void opened.close(0);
          if (session === opened) session = undefined;
        },
        (error: unknown) => failure.reject(error),
      );
      return opened;
    }

    while (!stopping.signal.aborted) {
      try {
        // With Redis away it never ends.
        await unlessAborted(stopping.signal, look());
      } catch (error) {
        onError(error);
        await wait(REDIS_PAUSE_MS);
      }
      await wait(leaseMs / 3);
    }
    await release(true, deadlineMs);
  }

  async function shardsOf(): Promise<Shards> {
    const count = await redis.hget(deploymentKey, "shards");
    if (count === null)
      throw new NotInstalledError("Nothing has been installed with this Redis yet: start the worker first.");
    return createShards(Number(count));
  }

  async function positionOf(shards: Shards): Promise<Position> {
    const { start = "beginning" } = options;
    if (start === "beginning") return await beginning(redis, shards);
    if (start === "now") return await Promise.all(shards.all.map((shard) => newestOf(redis, shard)));
    if ("time" in start) return shards.all.map(() => justBefore(start.time.getTime()));
    const isStreamId = shards.all.length === 1 && /^\d+-\d+$/.test(start.after);
    const position = isStreamId ? [start.after] : parseCursor(start.after, shards.all.length);
    for (const shard of shards.all) await assertKept(redis, shard, position[shard.index] ?? "0-0");
    return position;
  }

  /** Where a new group begins, settled once: what is published between two tries is not to be skipped. */
  let begins: Position | undefined;

  /** The shards, with the group there in each of them. */
  async function prepare(): Promise<Shards> {
    const shards = await shardsOf();
    const groups = (await Promise.all(shards.all.map((shard) => readGroups(redis, shard)))).flat();
    const isThere = groups.filter((known) => known.group === group).length === shards.all.length;
    if (isThere) return shards;
    begins ??= await positionOf(shards);
    for (const shard of shards.all) {
      await createGroupShard(redis, shard, group).ensure(begins[shard.index] ?? "0-0");
    }
    return shards;
  }

  /** As often as it takes: a Redis that is failing over refuses to make a group, and takes it a moment later. */
  async function prepared(): Promise<Shards | undefined> {
    while (!stopping.signal.aborted) {
      try {
        return await unlessAborted(stopping.signal, prepare());
      } catch (error) {
        if (isForCaller(error)) throw error;
        onError(error);
        await wait(REDIS_PAUSE_MS);
      }
    }
    return undefined;
  }

  async function consume(): Promise<void> {
    const shards = await prepared();
    if (shards !== undefined) await Promise.all(shards.all.map((shard) => tend(shard, shards)));
  }

  return {
    async run() {
      if (running !== undefined) throw new Error("this consumer runs already, or has run");
      running = consume();
      try {
        await Promise.race([running, failure.promise]);
      } finally {
        stopping.abort();
        await running.catch(() => {});
        redis.disconnect();
      }
    },

    async lag() {
      const states = await Promise.all((await shardsOf()).all.map((shard) => readGroups(redis, shard)));
      return states.flat().flatMap((state) => {
        if (state.group !== group) return [];
        const { shard, unread = 0, pending, oldest } = state;
        const oldestAgeMs = oldest === undefined ? 0 : Math.max(Date.now() - Number(oldest.split("-")[0]), 0);
        return [{ shard, unread, pending, oldestAgeMs }];
      });
    },

    async stop(how = {}) {
      deadlineMs = how.deadlineMs ?? STOP_MS;
      stopping.abort();
      if (running === undefined) redis.disconnect();
      await running?.catch(() => {});
    },
  };
}

/** What waiting does not mend: somebody has to change the program, or what Redis lets it do. */
function isForCaller(error: unknown): boolean {
  const own = [CursorExpiredError, CursorInvalidError, NotInstalledError, TypeError, RangeError];
  return (
    own.some((kind) => error instanceof kind) || /^(NOPERM|NOAUTH)\b/.test(error instanceof Error ? error.message : "")
  );
}

function positive(name: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value;
  throw new TypeError(`${name}: expected a whole number above 0, got ${value}`);
}
