import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { LRUCache } from "lru-cache";
import { CalendlyError } from "./errors.ts";

// The words: *fresh* within the time to live; *stale* after it, and served within the *grace* only while Calendly fails or
// somebody else is asking. The memory of the process comes before the *shared tier*, which all processes see.

/** An answer as it is kept. `value` is absent where Calendly does not know the thing. */
export interface Kept<T> {
  readonly value?: T;
  /** ms. */
  readonly storedAt: number;
}

export interface SharedTier {
  get(key: string): Promise<string | undefined>;
  put(key: string, kept: string, keepMs: number): Promise<void>;
  /** Whether the holder is the only one in the fleet now; for `ms` at most. */
  lock(key: string, holder: string, ms: number): Promise<boolean>;
  unlock(key: string, holder: string): Promise<void>;
  /** Drops an entry here and in the memory of every process. */
  drop(key: string): Promise<void>;
  onDrop(listener: (key: string) => void): void;
}

export interface Cached<T> {
  readonly value: T | undefined;
  readonly isStale: boolean;
}

export interface Cache<T> {
  /** Rejects as `load` does where nothing is kept that could be served. */
  get(key: string): Promise<Cached<T>>;
  drop(key: string): Promise<void>;
  stats(): { readonly hits: number; readonly misses: number; readonly stale: number };
}

/** A 404 may end soon: what was made just now. */
const MISSING_TTL_MS = 10_000;
/** Stale is looked at again after this time. */
const STALE_TTL_MS = 2_000;
const LOOK_AGAIN_MS = 25;

/** Reads through memory and the shared tier; one load at a time in the whole fleet. */
export function createCache<T extends object>(ports: {
  readonly tier: SharedTier;
  readonly load: (key: string) => Promise<T>;
  readonly maxEntries: number;
  readonly ttlMs: number;
  readonly graceMs: number;
  /** A load that takes longer is taken over by another process. */
  readonly loadMs: number;
  readonly now: () => number;
}): Cache<T> {
  const { tier, load, maxEntries, ttlMs, graceMs, loadMs, now } = ports;
  const counts = { hits: 0, misses: 0, stale: 0 };

  const memory = new LRUCache<string, Cached<T>>({
    max: maxEntries,
    ttl: ttlMs,
    async fetchMethod(key, _stale, { options }) {
      const { kept, isStale } = await find(key);
      options.ttl = isStale ? STALE_TTL_MS : Math.max(1, kept.storedAt + lifeOf(kept) - now());
      return { value: kept.value, isStale };
    },
  });
  tier.onDrop((key) => memory.delete(key));

  const lifeOf = (kept: Kept<T>) => (kept.value === undefined ? MISSING_TTL_MS : ttlMs);

  async function find(key: string): Promise<{ readonly kept: Kept<T>; readonly isStale: boolean }> {
    const holder = randomUUID();
    for (;;) {
      const text = await tier.get(key);
      const kept = text === undefined ? undefined : (JSON.parse(text) as Kept<T>);
      if (kept !== undefined && now() < kept.storedAt + lifeOf(kept)) return { kept, isStale: false };
      if (await tier.lock(key, holder, loadMs)) {
        try {
          return { kept: await refresh(key), isStale: false };
        } catch (error) {
          if (kept === undefined) throw error;
          counts.stale += 1;
          return { kept, isStale: true };
        } finally {
          await tier.unlock(key, holder);
        }
      }
      // Whoever asks brings news for all.
      if (kept !== undefined) return { kept, isStale: true };
      await pause(LOOK_AGAIN_MS);
    }
  }

  async function refresh(key: string): Promise<Kept<T>> {
    counts.misses += 1;
    let kept: Kept<T>;
    try {
      kept = { value: await load(key), storedAt: now() };
    } catch (error) {
      if (!(error instanceof CalendlyError && error.code === "not_found")) throw error;
      kept = { storedAt: now() };
    }
    await tier.put(key, JSON.stringify(kept), lifeOf(kept) + graceMs);
    return kept;
  }

  return {
    async get(key) {
      const isHit = memory.has(key);
      if (isHit) counts.hits += 1;
      const cached = await memory.fetch(key);
      if (cached === undefined) throw new TypeError(`nothing was found for ${key}`);
      return cached;
    },
    drop: (key) => tier.drop(key),
    stats: () => ({ ...counts }),
  };
}
