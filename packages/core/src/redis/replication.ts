import type { Redis as Single } from "ioredis";
import { RedisUnavailableError, withinDeadline } from "./deadline.ts";
import { COMMON, type Place, replicationMarkKey, type Shard, type Shards } from "./keys.ts";
import { primaryOf, type Redis, sameNode } from "./nodes.ts";

/**
 * Writes to the shard, and gives the result when the replicas that were asked for have it; rejects with a
 * RedisUnavailableError where fewer of them have it in time, or where another primary may have answered for them.
 */
export type Replicated = <T>(shard: Shard, write: () => Promise<T>) => Promise<T>;

/**
 * To be called before a piece of work. What it gives is called with the places that were written to, and with those where
 * something is then let go of that this was made from: resolves when the replicas that were asked for have what was
 * written; rejects as above, with a PrimaryChangedError where it is of no use to call it again. Where both lie on one
 * primary nothing is waited for: who has the later has the earlier, too.
 */
export type ReplicatedElsewhere = () => (written: Iterable<Place>, lettingGoIn: readonly Place[]) => Promise<void>;

/** What was written may be lost, and no waiting shows it: it is to be written again. */
export class PrimaryChangedError extends RedisUnavailableError {
  override readonly name = "PrimaryChangedError";
}

interface Ports {
  /** The connection that writes. */
  readonly redis: Redis;
  readonly replicas: number;
  readonly timeoutMs: number;
}

/**
 * What is waited for replicas at most: a delivery must be answered within two seconds, and those that have nothing by then
 * will not have it in time. A job waits again at its next begin.
 */
export const REPLICAS_TIMEOUT_MS = 1_000;
const MARK_TTL_MS = 60_000;

/** With 0 replicas there is nothing to wait for. */
export function createReplication(ports: Ports): Replicated {
  if (ports.replicas === 0) return async (_, write) => await write();
  const leadOf = createLeads(ports.redis);
  const wait = createWait(ports, (primary) => primary);
  return async (shard, write) => {
    const before = leadOf(shard);
    const result = await write();
    await wait(shard);
    assertSame(before, leadOf(shard));
    return result;
  };
}

/**
 * Those who wait share `waiting`, a connection that holds up nobody who writes. The mark that goes before WAIT is written
 * later than all that was answered by then, so that replicas which have it have that too.
 */
export function createReplicationElsewhere(
  ports: Ports & { readonly waiting: Redis; readonly shards: Shards },
): ReplicatedElsewhere {
  const { redis, waiting, shards, replicas, timeoutMs } = ports;
  if (replicas === 0) return () => async () => {};
  const leadOf = createLeads(redis);
  const wait = createWait(ports, (primary) => sameNode(waiting, primary));

  const isOnOne = (one: Place, other: Place) => leadOf(one)?.primary === leadOf(other)?.primary;

  return () => {
    const before = new Map([...shards.all, COMMON].map((place) => [place, leadOf(place)]));
    return async (written, lettingGoIn) => {
      const elsewhere = [...written].filter((place) => !lettingGoIn.every((other) => isOnOne(place, other)));
      // One wait that is under way, one of its own, and room.
      await withinDeadline(3 * timeoutMs, Promise.all(elsewhere.map(wait))).finally(() => {
        for (const place of [...written, ...lettingGoIn]) assertSame(before.get(place), leadOf(place));
      });
    };
  };
}

/** Who takes the writes to a place, and how often the connection to it was lost so far. */
interface Lead {
  readonly primary: Single;
  readonly losses: number;
}

function createLeads(redis: Redis): (place: Place) => Lead | undefined {
  const losses = new WeakMap<Single, number>();
  return ({ tag }) => {
    const primary = primaryOf(redis, tag);
    if (primary === undefined) return undefined;
    if (!losses.has(primary)) {
      losses.set(primary, 0);
      primary.on("close", () => losses.set(primary, (losses.get(primary) ?? 0) + 1));
    }
    return { primary, losses: losses.get(primary) ?? 0 };
  };
}

/**
 * ioredis sends what was not answered again where its next connection leads: to a new primary, whose replicas say nothing of
 * what the old one was given.
 */
function assertSame(before: Lead | undefined, after: Lead | undefined): void {
  if (after !== undefined && after.primary === before?.primary && after.losses === before.losses) return;
  throw new PrimaryChangedError("the connection was lost before the replicas were known to have it");
}

/**
 * Redis' WAIT (https://redis.io/docs/latest/commands/wait/), which holds its connection: those who ask while one is under
 * way share the next one. `connectionTo` gives the one to ask on, to whoever takes the writes.
 */
function createWait(
  { redis, replicas, timeoutMs }: Ports,
  connectionTo: (primary: Single) => Single | undefined,
): (place: Place) => Promise<void> {
  const waits = new Map<Place, () => Promise<void>>();

  async function wait(place: Place): Promise<void> {
    const primary = primaryOf(redis, place.tag);
    const asking = primary && connectionTo(primary);
    if (asking === undefined) throw new RedisUnavailableError("no node of the cluster is known to have it");
    // WAIT looks at what its own connection wrote last. A repeat that wrote nothing would not be held, although what it
    // repeats came by another connection and may be on its way still.
    const [, reached] = await Promise.all([
      asking.set(replicationMarkKey(place), "1", "PX", MARK_TTL_MS),
      asking.wait(replicas, timeoutMs),
    ]);
    if (reached >= replicas) return;
    const what = `${reached} of ${replicas} replicas have it after ${timeoutMs} ms, see REDIS_WAIT_REPLICAS`;
    throw new RedisUnavailableError(what);
  }

  return (place) => {
    let waitInTurn = waits.get(place);
    if (waitInTurn === undefined) {
      waitInTurn = inTurns(() => wait(place));
      waits.set(place, waitInTurn);
    }
    return waitInTurn();
  };
}

/** Begins the work again for those who come while it is under way, once for all of them. */
function inTurns<T>(work: () => Promise<T>): () => Promise<T> {
  let current: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  return () => {
    next ??= current.then(() => {
      next = undefined;
      const result = work();
      current = result.catch(() => {});
      return result;
    });
    return next;
  };
}
