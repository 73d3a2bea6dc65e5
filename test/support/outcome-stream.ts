import { readFileSync } from "node:fs";
import type { OutcomeEvent, OutcomeOfType } from "@calendly-worker/core/outcomes";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { checkDeployment } from "@calendly-worker/core/redis/deployment";
import { outcomeStreamKey, type Shard, type Shards } from "@calendly-worker/core/redis/keys";

const SAMPLE = JSON.parse(
  readFileSync(new URL("../fixtures/outcomes/invitee.created.json", import.meta.url), "utf8"),
)[0] as OutcomeOfType<"booking.confirmed">;

/** An outcome of a booking, as a worker would publish it: the `sequence`-th of its log. */
export function anOutcome(subject: string, sequence = 1, changes: { readonly type?: string } = {}): OutcomeEvent {
  const booking = { ...SAMPLE.data.booking, id: subject, sequence };
  const event = { ...SAMPLE, id: `${subject}.${sequence}`, subject, data: { ...SAMPLE.data, booking }, ...changes };
  return event as OutcomeEvent;
}

/** Appends outcomes, each to the stream of its booking's shard or to the one given. Gives their stream ids. */
export async function append(
  redis: Redis,
  shards: Shards,
  events: readonly OutcomeEvent[],
  { shard, streamId = "*" }: { readonly shard?: Shard; readonly streamId?: string } = {},
): Promise<string[]> {
  // They go out together and in order; a pipeline would have to lie in one slot of a cluster.
  return await Promise.all(
    events.map(async (event) => {
      const { id, type, subject } = event;
      const key = outcomeStreamKey(shard ?? shards.of(subject));
      const fields = ["id", id, "type", type, "subject", subject, "event", JSON.stringify(event)];
      return String(await redis.xadd(key, streamId, ...fields));
    }),
  );
}

/** What a worker writes down at its first start. */
export async function install(redis: Redis, shards: Shards): Promise<void> {
  await checkDeployment(redis, shards);
}
