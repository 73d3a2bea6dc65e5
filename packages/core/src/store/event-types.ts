import type { EventTypeDetails } from "../bookings/outcome-data.ts";
import type { Cache } from "../calendly/cache.ts";

/** What Calendly says of event types, remembered for all workers. */
export interface EventTypes {
  /** Undefined where Calendly does not say it in time, or does not know it. Never rejects. */
  find(uri: string): Promise<EventTypeDetails | undefined>;
  /** What was remembered no longer holds. */
  forget(uri: string): Promise<void>;
}

/** Without a cache each is asked for every time. */
export function createEventTypes(ports: {
  readonly cache: Cache<EventTypeDetails> | undefined;
  readonly ask: (uri: string) => Promise<EventTypeDetails>;
  readonly onFailure: (error: unknown) => void;
}): EventTypes {
  const { cache, ask, onFailure } = ports;
  return {
    async find(uri) {
      try {
        return cache === undefined ? await ask(uri) : (await cache.get(uri)).value;
      } catch (error) {
        onFailure(error);
        return undefined;
      }
    },
    async forget(uri) {
      await cache?.drop(uri);
    },
  };
}
