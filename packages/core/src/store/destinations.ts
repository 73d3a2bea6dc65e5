import { randomUUID } from "node:crypto";
import { clockOf } from "../redis/clock.ts";
import type { Redis } from "../redis/connect.ts";
import { RedisUnavailableError, withinDeadline } from "../redis/deadline.ts";
import {
  destinationProbeKey,
  destinationStateKey,
  destinationsKey,
  pushLineKey,
  pushLinePrefix,
} from "../redis/keys.ts";
import { primariesOf } from "../redis/nodes.ts";
import { idsUnder } from "../redis/scan.ts";
import { defineScript } from "./define-script.ts";

/** One secret that deliveries are signed with; one that is being replaced has an end. */
export interface DestinationSecret {
  readonly value: string;
  /** In ms. */
  readonly until?: number;
}

/** An internal service's HTTP endpoint that outcomes are pushed to. */
export interface Destination {
  readonly id: string;
  readonly url: string;
  readonly types: readonly string[] | null;
  readonly eventTypes: readonly string[] | null;
  readonly hosts: readonly string[] | null;
  readonly ordered: boolean;
  readonly concurrency: number;
  /** The newest first. */
  readonly secrets: readonly DestinationSecret[];
  /** In ms, by the clock of Redis that is furthest behind: what was published before is not pushed. */
  readonly createdAt: number;
}

/** Why nothing is pushed to a destination. */
export type PauseReason = "by hand" | "failing" | "gone";

export interface DestinationState {
  /** Deliveries in a row that failed. */
  readonly failures: number;
  /** Times are in ms. */
  readonly failingSince: number | undefined;
  readonly openUntil: number | undefined;
  readonly lastDeliveredAt: number | undefined;
  readonly lastFailure: string | undefined;
  readonly paused: PauseReason | undefined;
}

export interface DestinationStore {
  all(): Promise<Destination[]>;
  find(id: string): Promise<Destination | undefined>;
  add(destination: Omit<Destination, "id" | "createdAt">): Promise<Destination>;
  /**
   * Changes it and gives it as it is then; undefined where it is not there. Made of what stands there when it is written:
   * `change` is asked again where somebody else was faster.
   */
  update(id: string, change: (before: Destination) => Destination): Promise<Destination | undefined>;
  /** Forgets all that is known of it. False where it is not there. */
  remove(id: string): Promise<boolean>;
  state(id: string): Promise<DestinationState>;
  succeeded(id: string): Promise<void>;
  /** Gives the state after this failure. */
  failed(id: string, failure: string): Promise<Pick<DestinationState, "failures"> & { readonly failingSince: number }>;
  /** Takes it on oneself to find out whether it is well again; false where somebody else does. */
  probe(id: string): Promise<boolean>;
  probed(id: string): Promise<void>;
  /** Nothing is pushed until then, in ms. */
  open(id: string, until: number): Promise<void>;
  setPaused(id: string, why: PauseReason | undefined): Promise<void>;
  /** It begins anew, as one that has never failed. */
  forgetFailures(id: string): Promise<void>;
  /** Jobs of a booking's outcomes, in order. */
  readonly line: {
    /** @param waitsForMs the longest that a job may wait for its destination: so long is the line kept */
    join(id: string, subject: string, job: string, waitsForMs: number): Promise<void>;
    first(id: string, subject: string): Promise<string | undefined>;
    has(id: string, subject: string, job: string): Promise<boolean>;
    leave(id: string, subject: string, job: string): Promise<void>;
  };
}

const TIME_DEADLINE_MS = 1_000;
/** Longer than a request may take: then its sender is gone. */
const PROBE_MS = 15_000;
/** Each time in vain somebody else has changed it: people and programs that do so at once are few. */
const MOST_TRIES = 20;

const replaceDestination = defineScript({
  name: "replace-destination",
  keys: ["destinations"],
  args: ["id", "before", "after"],
  reply: (raw) => raw === 1,
});

const notePush = defineScript({
  name: "note-push",
  keys: ["state"],
  args: ["failure", "now"],
  reply: (raw) => {
    const [failures, failingSince] = raw as [number, string];
    return { failures, failingSince: Number(failingSince) };
  },
});

export function createDestinationStore(redis: Redis, now: () => number): DestinationStore {
  const read = (json: string): Destination => JSON.parse(json);

  return {
    async all() {
      const found = Object.values(await redis.hgetall(destinationsKey)).map(read);
      return found.toSorted((a, b) => a.createdAt - b.createdAt);
    },
    async find(id) {
      const json = await redis.hget(destinationsKey, id);
      return json === null ? undefined : read(json);
    },
    async add(fields) {
      const createdAt = await earliestTime(redis);
      const added = { id: randomUUID(), ...fields, createdAt };
      await redis.hset(destinationsKey, added.id, JSON.stringify(added));
      return added;
    },
    async update(id, change) {
      for (let tries = 0; tries < MOST_TRIES; tries += 1) {
        const before = await redis.hget(destinationsKey, id);
        if (before === null) return undefined;
        const changed = change(read(before));
        const args = { id, before, after: JSON.stringify(changed) };
        if (await replaceDestination(redis, { destinations: destinationsKey }, args)) return changed;
      }
      throw new Error(`the destination ${id} was changed by others all the time`);
    },
    async remove(id) {
      const removed = await redis.hdel(destinationsKey, id);
      await redis.del(destinationStateKey(id), destinationProbeKey(id));
      for await (const subject of idsUnder(redis, pushLinePrefix(id))) await redis.del(pushLineKey(id, subject));
      return removed > 0;
    },
    async state(id) {
      const fields = await redis.hgetall(destinationStateKey(id));
      const at = (name: string) => (fields[name] === undefined ? undefined : Number(fields[name]));
      return {
        failures: at("failures") ?? 0,
        failingSince: at("failing_since"),
        openUntil: at("open_until"),
        lastDeliveredAt: at("last_delivered_at"),
        lastFailure: fields["last_failure"],
        paused: fields["paused"] as PauseReason | undefined,
      };
    },
    async succeeded(id) {
      await notePush(redis, { state: destinationStateKey(id) }, { failure: "", now: now() });
    },
    failed: (id, failure) => notePush(redis, { state: destinationStateKey(id) }, { failure, now: now() }),
    async probe(id) {
      return (await redis.set(destinationProbeKey(id), "1", "PX", PROBE_MS, "NX")) === "OK";
    },
    async probed(id) {
      await redis.del(destinationProbeKey(id));
    },
    async open(id, until) {
      await redis.hset(destinationStateKey(id), "open_until", until);
    },
    async setPaused(id, why) {
      const key = destinationStateKey(id);
      if (why !== undefined) await redis.hset(key, "paused", why);
      else await redis.hdel(key, "paused");
    },
    async forgetFailures(id) {
      await redis.hdel(destinationStateKey(id), "failures", "failing_since", "open_until");
    },
    line: {
      async join(id, subject, job, waitsForMs) {
        const key = pushLineKey(id, subject);
        await redis.multi().zadd(key, 0, job).pexpire(key, waitsForMs).exec();
      },
      async first(id, subject) {
        const [first] = await redis.zrange(pushLineKey(id, subject), "0", "0");
        return first;
      },
      async has(id, subject, job) {
        return (await redis.zscore(pushLineKey(id, subject), job)) !== null;
      },
      async leave(id, subject, job) {
        await redis.zrem(pushLineKey(id, subject), job);
      },
    },
  };
}

/**
 * By the clocks of all primaries in reach: each outcome bears the time of its own one, and none that comes from now on is
 * to be passed over.
 */
async function earliestTime(redis: Redis): Promise<number> {
  const asked = await Promise.allSettled(
    primariesOf(redis).map((node) => withinDeadline(TIME_DEADLINE_MS, clockOf(node))),
  );
  const times = asked.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  if (times.length === 0) throw new RedisUnavailableError("no primary told its time");
  return Math.floor(Math.min(...times));
}
