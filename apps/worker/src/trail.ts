import type { Place, Shard, Shards } from "@calendly-worker/core/redis/keys";
import type { ReplicatedElsewhere } from "@calendly-worker/core/redis/replication";
import type { BookingStore, Delivery } from "@calendly-worker/core/store/bookings";

/** What a fold has written, for when it is over. */
export interface Trail {
  /** Where it is missed if it is lost. What is found again by looking is left out, as who is known of an event. */
  readonly shards: Set<Shard>;
  /** Deliveries that need not wait any more. */
  readonly settled: { readonly waitedFor: string; readonly delivery: Delivery }[];
}

/** Gives a fold a trail to write down what it does. `ended`: where it is then said that it need not be done any more. */
export type WithTrail = <T>(ended: readonly Place[], fold: (trail: Trail) => Promise<T>) => Promise<T>;

/**
 * What a fold came from, its job and deliveries that waited, is let go of only when replicas of other primaries have what
 * followed: a fail-over there would lose it, and nothing would be left to begin again with.
 */
export function createTrails(ports: {
  readonly shards: Shards;
  readonly replicatedElsewhere: ReplicatedElsewhere;
  readonly bookings: Pick<BookingStore, "clearWaiting">;
}): WithTrail {
  const { shards, replicatedElsewhere, bookings } = ports;
  return async (ended, fold) => {
    const untilReplicated = replicatedElsewhere();
    const trail: Trail = { shards: new Set(), settled: [] };
    const result = await fold(trail);
    await untilReplicated(trail.shards, [...ended, ...trail.settled.map(({ waitedFor }) => shards.of(waitedFor))]);
    for (const { delivery, waitedFor } of trail.settled) await bookings.clearWaiting(waitedFor, delivery);
    return result;
  };
}
