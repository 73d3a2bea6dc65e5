import type { PushQueues } from "@calendly-worker/core/queues/push-queues";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { DestinationStore } from "@calendly-worker/core/store/destinations";
import type { Notices } from "@calendly-worker/core/store/notices";
import type { OutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import type { Task } from "./maintain.ts";

/**
 * Drops the outcomes that are older than the retention, but none that a consumer group has still to handle or that waits
 * for a destination: the group of the pushes has done with an outcome as soon as it waits.
 */
export function trimOutcomes(ports: {
  readonly shards: Shards;
  readonly trimmer: OutcomeTrimmer;
  readonly destinations: Pick<DestinationStore, "all">;
  readonly queues: Pick<PushQueues, "oldestWaiting">;
  readonly notices: Pick<Notices, "addOnceADay">;
  readonly maxAgeDays: number;
}): Task {
  const { shards, trimmer, destinations, queues, notices, maxAgeDays } = ports;
  return async () => {
    let dropped = 0;
    const lost = new Set<string>();
    const lagging = new Set<string>();
    const oldestPushes = await queues.oldestWaiting((await destinations.all()).map(({ id }) => id));
    for (const shard of shards.all) {
      const trimmed = await trimmer.trim(shard, oldestPushes.get(shard.index));
      dropped += trimmed.dropped;
      for (const group of trimmed.lost) lost.add(group);
      for (const group of trimmed.lagging) lagging.add(group);
    }
    for (const group of lost) {
      await notices.addOnceADay({
        type: "outcomes.group_lost",
        subject: group,
        message: `The consumer group "${group}" has lost outcomes that it had not handled: they were older than CALENDLY_OUTCOMES_MAX_AGE (${maxAgeDays} days). Its consumers are told "cursor_expired".`,
      });
    }
    for (const group of [...lagging].filter((name) => !lost.has(name))) {
      await notices.addOnceADay({
        type: "outcomes.group_lagging",
        subject: group,
        message: `The consumer group "${group}" has not handled outcomes for ${maxAgeDays / 2} days, half of CALENDLY_OUTCOMES_MAX_AGE, after which they are dropped. Start its consumers, or let go of it: calendly outcomes forget ${group}`,
      });
    }
    return `dropped ${dropped}`;
  };
}
