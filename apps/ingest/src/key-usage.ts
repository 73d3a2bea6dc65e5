import type { KeyName } from "@calendly-worker/core/calendly/signature";
import type { Credentials, SigningKeySlot } from "@calendly-worker/core/store/credentials";

/** Counts the deliveries that each signing key has verified, and writes the counts down now and then. */
export interface KeyUsage {
  count(key: KeyName): void;
  /** Writes down what has been counted since the last time. Never rejects: what Redis does not take is kept for the next. */
  flush(): Promise<void>;
}

/** `keys` is asked each time: their fingerprints are others after Redis was emptied. */
export function createKeyUsage(
  credentials: Credentials,
  keys: () => readonly SigningKeySlot[],
  now: () => number,
): KeyUsage {
  const counts = new Map<KeyName, { readonly count: number; readonly lastAt: number }>();

  function add(key: KeyName, count: number, lastAt: number): void {
    const before = counts.get(key);
    counts.set(key, { count: (before?.count ?? 0) + count, lastAt: Math.max(before?.lastAt ?? 0, lastAt) });
  }

  return {
    count: (key) => add(key, 1, now()),
    async flush() {
      for (const { slot, fingerprint } of keys()) {
        const counted = counts.get(slot);
        if (counted === undefined) continue;
        const { count, lastAt } = counted;
        counts.delete(slot);
        await credentials.countVerified(fingerprint, count, lastAt).catch(() => add(slot, count, lastAt));
      }
    },
  };
}
