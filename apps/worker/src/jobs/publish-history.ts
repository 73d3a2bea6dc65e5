import { isHistory } from "@calendly-worker/core/bookings/history";
import { publishHistory, withEventTypes } from "@calendly-worker/core/bookings/outcomes";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import type { EventTypes } from "@calendly-worker/core/store/event-types";

/** A heartbeat of its queue waits until the job has ended: as often it says itself that there is work going on. */
const PROGRESS_EVERY_MS = 1_000;

/** Tells the history of every booking of which nothing has been told. Repeating it, or going on with it, tells nothing twice. */
export function publishAllHistory(ports: {
  readonly shards: Shards;
  readonly bookings: BookingStore;
  readonly eventTypes: EventTypes;
  readonly referenceField: string;
  readonly onProgress: () => Promise<void>;
  readonly now: () => number;
}): (context: JobContext) => Promise<string> {
  const { shards, bookings, eventTypes, referenceField, onProgress, now } = ports;

  return async ({ signal, log }) => {
    let told = 0;
    let saidAt = now();
    for (const shard of shards.all) {
      for await (const id of bookings.ids(shard)) {
        signal.throwIfAborted();
        const count = await tell(id);
        told += count;
        if (count > 0) log.debug({ booking: id }, "told the history of a booking");
        if (now() - saidAt < PROGRESS_EVERY_MS) continue;
        await onProgress();
        saidAt = now();
      }
    }
    return `told ${told}`;
  };

  async function tell(id: string): Promise<number> {
    for (;;) {
      const { version, booking: stored } = await bookings.load(id);
      if (!isHistory(stored)) return 0;
      const telling = { origin: "reconcile", historical: true, publishFrom: 0, referenceField } as const;
      const { booking, outcomes: untyped } = publishHistory(stored, telling);
      const outcomes = await withEventTypes(untyped, eventTypes.find);
      const commit = await bookings.commit({ version, booking, outcomes });
      if (commit !== "conflict") return commit === "written" ? outcomes.length : 0;
    }
  }
}
