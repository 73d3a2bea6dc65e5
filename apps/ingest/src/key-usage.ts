import type { KeyName } from "@calendly-worker/core/calendly/signature";
import type { Credentials, SigningKeySlot } from "@calendly-worker/core/store/credentials";

/** Counts the deliveries that each signing key has verified, and writes the counts down now and then. */
export interface KeyUsage {
  count(key: KeyName): void;
  /** Writes down what has been counted since the last time. Never rejects: what Redis does not take is kept for the next. */
  flush(): Promise<void>;
}

export function createKeyUsage(credentials: Credentials, keys: readonly SigningKeySlot[]): KeyUsage {
  const counts = new Map<KeyName, number>();
  return {
    count(key) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
    },
    async flush() {
      for (const { slot, fingerprint } of keys) {
        const count = counts.get(slot) ?? 0;
        if (count === 0) continue;
        counts.delete(slot);
        await credentials.countVerified(fingerprint, count).catch(() => {
          counts.set(slot, (counts.get(slot) ?? 0) + count);
        });
      }
    },
  };
}
