import type { Redis } from "../redis/connect.ts";
import { testDeliveryKey } from "../redis/keys.ts";

/** How far a delivery that was sent as a test has come. Times in ms. */
export interface TestHops {
  /** When the ingest took it. */
  readonly receivedAt: number;
  /** When a worker began with it, and when it was done. */
  readonly begunAt: number;
  readonly endedAt: number;
  /** The outcome that would have been published, were it no test. */
  readonly outcomeId: string | null;
  readonly outcomeType: string | null;
}

export interface TestDeliveries {
  keep(id: string, hops: TestHops): Promise<void>;
  /** Undefined until a worker is done with it. */
  find(id: string): Promise<TestHops | undefined>;
}

const KEPT_S = 3_600;

export function createTestDeliveries(redis: Redis): TestDeliveries {
  return {
    async keep(id, hops) {
      await redis.set(testDeliveryKey(id), JSON.stringify(hops), "EX", KEPT_S);
    },
    async find(id) {
      const text = await redis.get(testDeliveryKey(id));
      return text === null ? undefined : (JSON.parse(text) as TestHops);
    },
  };
}
