import type { Consumer } from "@calendly-worker/core/queues/consumer";
import type { QueueLoad } from "@calendly-worker/core/store/queue-load";

/**
 * Whether a worker is alive and hears nothing: with Redis answering on a connection of its own, it has begun no job of a
 * queue for that long, while one was waiting, it had a place for it, and the queue was held by nobody.
 */
export interface Deafness {
  /** Looks once; to be called every `LOOKS` part of the time. Gives the queue that it is deaf to. */
  look(): Promise<string | undefined>;
}

/** So often one looks in the time after which a worker is deaf. */
export const LOOKS = 12;

export function createDeafness(ports: {
  readonly consumers: () => readonly Consumer[];
  /** Rejects where Redis does not answer in time. */
  readonly load: (consumer: Consumer) => Promise<QueueLoad>;
  readonly afterMs: number;
}): Deafness {
  const { consumers, load, afterMs } = ports;
  /** Looks in a row at which a job waited and none was begun, and how many had been begun at the first. */
  const suspicious = new Map<Consumer, { readonly begun: number; looks: number }>();
  const lookMs = afterMs / LOOKS;

  async function lookAt(consumer: Consumer): Promise<boolean> {
    const begun = consumer.begun();
    const { waiting, isHeld } = await load(consumer);
    const known = suspicious.get(consumer);
    if (waiting === 0 || isHeld || !consumer.isListening()) {
      suspicious.delete(consumer);
      return false;
    }
    if (known === undefined || known.begun !== consumer.begun()) {
      suspicious.set(consumer, { begun, looks: 0 });
      return false;
    }
    // Looks are counted, not time: of a process that was itself asleep nothing can be said.
    known.looks += 1;
    return known.looks * lookMs >= afterMs;
  }

  return {
    async look() {
      try {
        for (const consumer of consumers()) if (await lookAt(consumer)) return consumer.queue;
      } catch {
        // Redis is away: that is not ready, and never deaf.
        suspicious.clear();
      }
      return undefined;
    },
  };
}
