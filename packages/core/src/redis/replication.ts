import { RedisUnavailableError } from "./deadline.ts";
import { replicationMarkKey, type Shard } from "./keys.ts";
import { primaryOf, type Redis } from "./nodes.ts";

/**
 * Resolves when the replicas that were asked for have all that has been written to the shard so far; rejects with a
 * RedisUnavailableError where fewer of them have it in time.
 */
export type Replicated = (shard: Shard) => Promise<void>;

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
  if (replicas === 0) return async () => {};
  const waits = new Map<Shard, () => Promise<number>>();

  async function wait(shard: Shard): Promise<number> {
    const primary = primaryOf(redis, shard.tag);
    if (primary === undefined) throw new RedisUnavailableError("no node of the cluster is known to have the shard");
    // WAIT looks at what its own connection wrote last. A repeat that wrote nothing would not be held, although what it
    // repeats came by another connection and may be on its way still.
    const [, reached] = await Promise.all([
      primary.set(replicationMarkKey(shard), "1", "PX", MARK_TTL_MS),
      primary.wait(replicas, timeoutMs),
    ]);
    return reached;
  }

  return async (shard) => {
    let waitInTurn = waits.get(shard);
    if (waitInTurn === undefined) {
      waitInTurn = inTurns(() => wait(shard));
      waits.set(shard, waitInTurn);
    }
    const reached = await waitInTurn();
    if (reached >= replicas) return;
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
