import type { Redis as Single } from "ioredis";
import { RedisUnavailableError } from "./deadline.ts";
import { replicationMarkKey, type Shard } from "./keys.ts";
import { primaryOf, type Redis } from "./nodes.ts";

/**
 * Writes to the shard, and gives the result when the replicas that were asked for have it; rejects with a
 * RedisUnavailableError where fewer of them have it in time, or where another primary may have answered for them.
 */
export type Replicated = <T>(shard: Shard, write: () => Promise<T>) => Promise<T>;

const MARK_TTL_MS = 60_000;

/**
 * Redis' WAIT (https://redis.io/docs/latest/commands/wait/), which holds its connection: those who ask while one is under
 * way share the next one. With 0 replicas there is nothing to wait for.
 */
export function createReplication(ports: {
  readonly redis: Redis;
  readonly replicas: number;
  readonly timeoutMs: number;
}): Replicated {
  const { redis, replicas, timeoutMs } = ports;
  if (replicas === 0) return async (_, write) => await write();
  const waits = new Map<Shard, () => Promise<number>>();
  const losses = new WeakMap<Single, number>();

  function primaryFor(shard: Shard): Single {
    const primary = primaryOf(redis, shard.tag);
    if (primary === undefined) throw new RedisUnavailableError("no node of the cluster is known to have the shard");
    if (!losses.has(primary)) {
      losses.set(primary, 0);
      primary.on("close", () => losses.set(primary, (losses.get(primary) ?? 0) + 1));
    }
    return primary;
  }

  async function wait(shard: Shard): Promise<number> {
    const primary = primaryFor(shard);
    // WAIT looks at what its own connection wrote last. A repeat that wrote nothing would not be held, although what it
    // repeats came by another connection and may be on its way still.
    const [, reached] = await Promise.all([
      primary.set(replicationMarkKey(shard), "1", "PX", MARK_TTL_MS),
      primary.wait(replicas, timeoutMs),
    ]);
    return reached;
  }

  return async (shard, write) => {
    const primary = primaryFor(shard);
    const lossesBefore = losses.get(primary);
    const result = await write();
    let waitInTurn = waits.get(shard);
    if (waitInTurn === undefined) {
      waitInTurn = inTurns(() => wait(shard));
      waits.set(shard, waitInTurn);
    }
    const reached = await waitInTurn();
    // ioredis sends what was not answered again where its next connection leads: to a new primary, whose replicas say
    // nothing of what the old one was given.
    if (primaryFor(shard) !== primary || losses.get(primary) !== lossesBefore) {
      throw new RedisUnavailableError("the connection was lost before the replicas were known to have it");
    }
    if (reached >= replicas) return result;
    const what = `${reached} of ${replicas} replicas have it after ${timeoutMs} ms, see REDIS_WAIT_REPLICAS`;
    throw new RedisUnavailableError(what);
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
