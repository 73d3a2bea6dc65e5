import type { Redis } from "ioredis";
import type { EventTypeDetails } from "../bookings/outcome-data.ts";
import { eventTypeKey, type Shards } from "../redis/keys.ts";

/** What Calendly says of event types, remembered for all workers. */
export interface EventTypes {
  /** Undefined where Calendly does not say it in time. Never rejects. */
  find(uri: string): Promise<EventTypeDetails | undefined>;
  /** What was remembered no longer holds. */
  forget(eventTypeId: string): Promise<void>;
}

export function createEventTypes(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  /** Undefined remembers nothing. */
  readonly ttlSeconds: number | undefined;
  readonly ask: (uri: string) => Promise<EventTypeDetails>;
  readonly onFailure: (error: unknown) => void;
}): EventTypes {
  const { redis, shards, ttlSeconds, ask, onFailure } = ports;
  const keyOf = (id: string) => eventTypeKey(shards.of(id), id);

  return {
    async find(uri) {
      try {
        const key = keyOf(uri.slice(uri.lastIndexOf("/") + 1));
        const known = ttlSeconds === undefined ? null : await redis.get(key);
        if (known !== null) return JSON.parse(known) as EventTypeDetails;
        const details = await ask(uri);
        if (ttlSeconds !== undefined) await redis.set(key, JSON.stringify(details), "EX", ttlSeconds);
        return details;
      } catch (error) {
        onFailure(error);
        return undefined;
      }
    },
    async forget(eventTypeId) {
      await redis.del(keyOf(eventTypeId));
    },
  };
}
