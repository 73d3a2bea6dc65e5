import type { Shards } from "@calendly-worker/core/redis/keys";
import type { OutcomeTrimmer } from "@calendly-worker/core/store/trim-outcomes";
import type { Task } from "./maintain.ts";

/** Drops the outcomes that are older than the retention, but none that a consumer group has still to handle. */
export function trimOutcomes(ports: { readonly shards: Shards; readonly trimmer: OutcomeTrimmer }): Task {
  return async ({ log }) => {
    let dropped = 0;
    for (const shard of ports.shards.all) {
      const trimmed = await ports.trimmer.trim(shard);
      dropped += trimmed.dropped;
      for (const group of trimmed.laggards) {
        log.error(
          { group, shard: shard.index },
          "a consumer group lags too far behind: outcomes it has not handled were dropped",
        );
      }
    }
    return `dropped ${dropped}`;
  };
}
