import type { Redis } from "ioredis";
import { outcomeStreamKey, type Shard } from "../redis/keys.ts";
import type { OutcomeEvent } from "./outcome-event.ts";

export interface ReadOutcome {
  /** The entry's id in its stream: read on after it. */
  readonly streamId: string;
  readonly event: OutcomeEvent;
}

/** Up to `limit` outcomes of a shard that come after the stream id `after` (`0` for the first), in order. */
export async function readOutcomes(redis: Redis, shard: Shard, after = "0", limit = 1_000): Promise<ReadOutcome[]> {
  const reply = await redis.xread("COUNT", limit, "STREAMS", outcomeStreamKey(shard), after);
  const entries = reply?.[0]?.[1] ?? [];
  return entries.map(([streamId, fields]) => {
    const event = fields[fields.indexOf("event") + 1];
    if (event === undefined) throw new TypeError(`the outcome ${streamId} has no field "event"`);
    return { streamId, event: JSON.parse(event) as OutcomeEvent };
  });
}
