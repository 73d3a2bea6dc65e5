import { randomUUID } from "node:crypto";
import type { Redis } from "../redis/connect.ts";
import { lateKey, type Shards } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

export interface Noted {
  /** Whether Calendly's API has been asked for the fact. */
  readonly isConfirmed: boolean;
  /** Whether a delivery with that very signature came late before: Calendly does not sign retries anew then. */
  readonly isRepeated: boolean;
}

/** What is remembered of the facts that were delivered too late to be trusted. */
export interface LateMemory {
  /** `signature` names the one that a delivery came with. */
  note(identity: string, signature: string): Promise<Noted>;
  /** Calendly's API has said what there is to say of the fact. */
  confirm(identity: string): Promise<void>;
}

const noteLate = defineScript({
  name: "note-late",
  keys: ["late"],
  args: ["signature", "request", "expires_at"],
  reply: (raw): Noted => {
    const [confirmed, repeated] = raw as [number, number];
    return { isConfirmed: confirmed === 1, isRepeated: repeated === 1 };
  },
});

export function createLateMemory(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly memoryMs: number;
  readonly now: () => number;
}): LateMemory {
  const { redis, shards, memoryMs, now } = ports;
  const keyOf = (identity: string) => lateKey(shards.of(identity), identity);
  return {
    note: (identity, signature) =>
      noteLate(redis, { late: keyOf(identity) }, { signature, request: randomUUID(), expires_at: now() + memoryMs }),
    async confirm(identity) {
      const key = keyOf(identity);
      await redis.multi().hset(key, "confirmed", String(now())).pexpire(key, memoryMs).exec();
    },
  };
}
