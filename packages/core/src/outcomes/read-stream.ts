import type { Redis } from "../redis/connect.ts";
import { outcomeStreamKey, outcomesTrimmedKey, type Shard, type Shards } from "../redis/keys.ts";
import { CursorExpiredError, compareStreamIds, type Position } from "./cursor.ts";
import { parseEntry, type ReadOutcome } from "./parse-entry.ts";

/** Up to `limit` outcomes of a shard that come after the stream id `after` (`0` for the first), in order. */
export async function readOutcomes(redis: Redis, shard: Shard, after = "0", limit = 1_000): Promise<ReadOutcome[]> {
  const reply = await redis.xread("COUNT", limit, "STREAMS", outcomeStreamKey(shard), after);
  return (reply?.[0]?.[1] ?? []).map(parseEntry);
}

/** One outcome by its stream id; undefined where it was erased or dropped. */
export async function readOutcome(redis: Redis, shard: Shard, streamId: string): Promise<ReadOutcome | undefined> {
  const [entry] = await redis.xrange(outcomeStreamKey(shard), streamId, streamId);
  return entry === undefined ? undefined : parseEntry(entry);
}

/** Stream id of the last outcome of a shard that was dropped by age; `0-0` while none was. */
export async function lastDropped(redis: Redis, shard: Shard): Promise<string> {
  return (await redis.get(outcomesTrimmedKey(shard))) ?? "0-0";
}

/** Stream id of the newest outcome of a shard; of the last one dropped where none is left. */
export async function newestOf(redis: Redis, shard: Shard): Promise<string> {
  const [entry] = await redis.xrevrange(outcomeStreamKey(shard), "+", "-", "COUNT", 1);
  return entry?.[0] ?? (await lastDropped(redis, shard));
}

export interface PlacedOutcome extends ReadOutcome {
  /** Where one is after it. */
  readonly position: Position;
}

/**
 * Up to `limit` outcomes of all shards that come after a position: those of a shard in their order, shards mixed by time.
 * Throws a CursorExpiredError where some of them were dropped.
 */
export async function readAfter(
  redis: Redis,
  shards: Shards,
  after: Position,
  limit: number,
): Promise<PlacedOutcome[]> {
  const read = await Promise.all(
    shards.all.map((shard) => readOutcomes(redis, shard, after[shard.index] ?? "0-0", limit)),
  );
  // After the reading: what is dropped in between must not be missed.
  await Promise.all(shards.all.map((shard) => assertKept(redis, shard, after[shard.index] ?? "0-0")));
  const queues = read.map((outcomes) => outcomes.toReversed());
  const position = [...after];
  const merged: PlacedOutcome[] = [];
  while (merged.length < limit) {
    const heads = queues.flatMap((queue, index) => {
      const head = queue.at(-1);
      return head === undefined ? [] : [{ index, head }];
    });
    const next = heads.toSorted((a, b) => compareStreamIds(a.head.streamId, b.head.streamId))[0];
    if (next === undefined) break;
    queues[next.index]?.pop();
    position[next.index] = next.head.streamId;
    merged.push({ ...next.head, position: [...position] });
  }
  return merged;
}

/** Throws a CursorExpiredError where outcomes after that id were dropped by age. */
export async function assertKept(redis: Redis, shard: Shard, after: string): Promise<void> {
  const dropped = await lastDropped(redis, shard);
  if (compareStreamIds(after, dropped) < 0) {
    const [oldest] = await redis.xrange(outcomeStreamKey(shard), "-", "+", "COUNT", 1);
    throw new CursorExpiredError(shard.index, after, oldest?.[0] ?? dropped);
  }
}

/** Where one is before the oldest outcomes that are left. */
export async function beginning(redis: Redis, shards: Shards): Promise<Position> {
  return await Promise.all(shards.all.map((shard) => lastDropped(redis, shard)));
}
