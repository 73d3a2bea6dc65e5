import type { Redis } from "../redis/connect.ts";
import { rotationKey, subscriptionKeysKey, subscriptionReportKey } from "../redis/keys.ts";

export interface SubscriptionRecord {
  readonly uri: string;
  /** `active` or `disabled`. */
  readonly state: string;
  /** ISO 8601: since when Calendly has been repeating a delivery that failed; a day of that disables it. */
  readonly retryStartedAt: string | null;
  readonly callbackUrl: string;
}

/** Something wrong with the subscription or with what comes by it. `code` is one of a closed list. */
export interface SubscriptionProblem {
  readonly code: string;
  readonly subject: string;
  readonly message: string;
}

/** What the guardian last saw, and what is wrong, silence included, which is judged where nothing can be seen too. */
export interface SubscriptionReport {
  /** ISO 8601: when the subscriptions were last seen; null where they never were. */
  readonly checkedAt: string | null;
  readonly subscriptions: readonly SubscriptionRecord[];
  readonly problems: readonly SubscriptionProblem[];
  /** ISO 8601: since when nothing can be delivered; null where something can. */
  readonly darkSince: string | null;
}

/** How far a rotation of the signing key has come. Each step is written down before what it stands for is done. */
export interface Rotation {
  readonly step: "creating" | "waiting" | "deleting" | "reconciling";
  /** ISO 8601. */
  readonly startedAt: string;
  /** URI of the subscription that is replaced, and the fingerprint of its key where that is known. */
  readonly oldUri: string;
  readonly oldFingerprint: string | null;
  /** Address and key of the new one. Its URI is known from the step `waiting` on. */
  readonly newUrl: string;
  readonly newFingerprint: string;
  readonly newUri: string | null;
  /** Deliveries that had been verified with the new key when it was made. */
  readonly verifiedBefore: number;
  readonly isEmergency: boolean;
  /** Name of the comparison with Calendly's API that ends it. */
  readonly sweep: string | null;
}

/** What is known of the installation's webhook subscriptions beside what Calendly says. */
export interface SubscriptionStore {
  report(): Promise<SubscriptionReport | undefined>;
  keepReport(report: SubscriptionReport): Promise<void>;
  /** Fingerprint of the signing key of each subscription that was made from here, by its URI. */
  signingKeys(): Promise<ReadonlyMap<string, string>>;
  /** That of the one made last, also after it has gone. */
  lastSigningKey(): Promise<string | undefined>;
  rememberKey(uri: string, fingerprint: string): Promise<void>;
  forgetKey(uri: string): Promise<void>;
  rotation(): Promise<Rotation | undefined>;
  keepRotation(rotation: Rotation): Promise<void>;
  endRotation(): Promise<void>;
}

/** No URI. */
const LAST = "last";

export function createSubscriptionStore(redis: Redis): SubscriptionStore {
  async function read<T>(key: string): Promise<T | undefined> {
    const text = await redis.get(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  }
  return {
    report: () => read(subscriptionReportKey),
    async keepReport(report) {
      await redis.set(subscriptionReportKey, JSON.stringify(report));
    },
    async signingKeys() {
      const { [LAST]: _, ...keys } = await redis.hgetall(subscriptionKeysKey);
      return new Map(Object.entries(keys));
    },
    async lastSigningKey() {
      return (await redis.hget(subscriptionKeysKey, LAST)) ?? undefined;
    },
    async rememberKey(uri, fingerprint) {
      await redis.hset(subscriptionKeysKey, { [uri]: fingerprint, [LAST]: fingerprint });
    },
    async forgetKey(uri) {
      await redis.hdel(subscriptionKeysKey, uri);
    },
    rotation: () => read(rotationKey),
    async keepRotation(rotation) {
      await redis.set(rotationKey, JSON.stringify(rotation));
    },
    async endRotation() {
      await redis.del(rotationKey);
    },
  };
}
