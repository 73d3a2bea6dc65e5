import { setTimeout as pause } from "node:timers/promises";
import { retryDelay } from "../queues/retry-delay.ts";
import type { Redis } from "../redis/connect.ts";
import { outcomeStreamKey, type Shard } from "../redis/keys.ts";
import type { GroupShard } from "../store/outcome-groups.ts";
import { CursorExpiredError } from "./cursor.ts";
import { GroupForgottenError } from "./errors.ts";
import { createLanes, type Worked } from "./lanes.ts";
import type { OutcomeEvent } from "./outcome-event.ts";
import type { ReadOutcome } from "./parse-entry.ts";
import { GOODBYE_MS, withinTime } from "./within-time.ts";

/** What a handler is told beside the outcome. */
export interface OutcomeContext {
  /** 1 at the first try. */
  readonly attempt: number;
  readonly shard: number;
  /** Of the entry in the shard's stream; it begins with the time of publication in ms. */
  readonly streamId: string;
  /** Aborts when another consumer takes over, or when stopping has taken too long: end without effect if you can. */
  readonly signal: AbortSignal;
}

export interface SessionPorts {
  /** A connection of the session's own: it blocks. */
  readonly blocking: Redis;
  readonly shard: Shard;
  readonly group: GroupShard;
  readonly holder: string;
  /** Whether the shard is still this consumer's to read, as far as it knows. */
  readonly isHeld: () => boolean;
  readonly onOutcome: (outcome: OutcomeEvent, context: OutcomeContext) => Promise<void>;
  readonly onError: (error: unknown) => void;
  readonly onDeadLetter: (outcome: OutcomeEvent, reason: string) => void;
  readonly whenExpired: "stop" | "continue";
  readonly concurrency: number;
  readonly maxInFlight: number;
  readonly maxAttempts: number;
  readonly retry: Parameters<typeof retryDelay>[0];
}

/** The reading of one shard by one consumer of a group, for as long as the group lets it. */
export interface ShardSession {
  /** Resolves when it has ended; rejects with a CursorExpiredError or a GroupForgottenError. */
  readonly ended: Promise<void>;
  /** Begins nothing any more; what is being handled gets that time to end. */
  close(deadlineMs: number): Promise<void>;
}

const BLOCK_MS = 2_000;
const REDIS_PAUSE_MS = 500;
const LONGEST_REASON = 500;
/** What may be begun again once the lease is known to be held still. */
const NOT_HELD_MS = 100;

export function openShardSession(ports: SessionPorts): ShardSession {
  const { blocking, shard, group, holder, isHeld, maxInFlight } = ports;
  const abort = new AbortController();
  let isClosed = false;
  /** Stream id of the last one that came. */
  let after = "0-0";
  let tries: Map<string, number> = new Map();
  const lanes = createLanes<ReadOutcome>({ concurrency: ports.concurrency, work });

  async function work(outcome: ReadOutcome): Promise<Worked> {
    // A process that was frozen begins nothing that another has begun meanwhile.
    if (!isHeld()) return { againAfterMs: NOT_HELD_MS };
    const { streamId, event } = outcome;
    const attempt = (tries.get(streamId) ?? 0) + 1;
    try {
      await ports.onOutcome(event, { attempt, shard: shard.index, streamId, signal: abort.signal });
    } catch (error) {
      ports.onError(error);
      if (abort.signal.aborted) return "done";
      return await fail(outcome, error);
    }
    await untilDone(() => group.acknowledge(streamId));
    tries.delete(streamId);
    return "done";
  }

  async function fail(outcome: ReadOutcome, error: unknown): Promise<Worked> {
    const { streamId, event } = outcome;
    const failed = (await untilDone(() => group.failed(streamId))) ?? 0;
    tries.set(streamId, failed);
    if (failed < ports.maxAttempts) return { againAfterMs: retryDelay(ports.retry, failed, Math.random) };
    const reason = (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(
      0,
      LONGEST_REASON,
    );
    const name = error instanceof Error ? error.name : undefined;
    await untilDone(() => group.giveUp(holder, outcome, failed, { error: name, reason }));
    tries.delete(streamId);
    ports.onDeadLetter(event, reason);
    return "done";
  }

  /** What has been handled must be written down, however long Redis is away. */
  async function untilDone<T>(step: () => Promise<T>): Promise<T | undefined> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        ports.onError(error);
        if (abort.signal.aborted) return undefined;
        await pause(REDIS_PAUSE_MS);
      }
    }
  }

  /** First whatever the group has read and nobody has finished, in order, then what is new. */
  async function readOn(): Promise<void> {
    while (!isClosed) {
      const page = await group.read(holder, after, Math.max(maxInFlight - lanes.size, 1));
      if (page === undefined) return;
      for (const outcome of page) lanes.push(outcome.event.subject, outcome);
      after = page.at(-1)?.streamId ?? after;
      await lanes.untilFewerThan(maxInFlight);
      if (page.length > 0) continue;
      const last = await group.lastRead();
      if (!isClosed) await blocking.xread("COUNT", 1, "BLOCK", BLOCK_MS, "STREAMS", outcomeStreamKey(shard), last);
    }
  }

  async function goThrough(step: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await step();
      } catch (error) {
        if (!(error instanceof CursorExpiredError) || ports.whenExpired === "stop") throw error;
        ports.onError(error);
        await group.skipDropped();
      }
    }
  }

  async function run(): Promise<void> {
    let isTakenOver = false;
    let isGone = false;
    while (!isClosed) {
      try {
        if (isGone) await group.makeAgain();
        isGone = false;
        if (!isTakenOver) {
          await goThrough(() => group.takeOver());
          tries = new Map(await group.attempts());
          isTakenOver = true;
        }
        return await goThrough(readOn);
      } catch (error) {
        if (isClosed) return;
        if (error instanceof CursorExpiredError || error instanceof GroupForgottenError) throw error;
        ports.onError(error);
        isGone = error instanceof Error && error.message.includes("NOGROUP");
        await pause(REDIS_PAUSE_MS);
      }
    }
  }

  const ended = run();
  // Whoever opened it looks at it in time; until then it is nobody's unhandled rejection.
  ended.catch(() => {});

  return {
    ended,
    async close(deadlineMs) {
      isClosed = true;
      blocking.disconnect();
      const finished = lanes.close();
      await withinTime(deadlineMs, finished);
      abort.abort();
      // With Redis away its last command never ends.
      await withinTime(GOODBYE_MS, ended);
    },
  };
}
