import { isUtf8 } from "node:buffer";
import type { Redis } from "../redis/connect.ts";
import { quarantineEntryKey, quarantineIndexKey, type Shards } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** A genuine delivery that could not be taken as a fact, kept whole. */
export interface Quarantined {
  /** The fact's identity where one could be read, else `body/<sha256>`. */
  readonly id: string;
  readonly reason: string;
  /** What did not fit, without values. */
  readonly problems: readonly string[];
  /** ISO 8601. */
  readonly receivedAt: string;
  /** Absent where Calendly's API said it. */
  readonly signedWith?: "primary" | "secondary";
  readonly body: Uint8Array;
}

export interface Quarantine {
  /** Resolves once it is stored. */
  keep(entry: Quarantined): Promise<void>;
  get(id: string): Promise<Quarantined | undefined>;
  /** The newest first. */
  list(limit: number): Promise<Quarantined[]>;
  /** Keeps another body in place of an entry's, for as long as that was to be kept. Whether it was there. */
  amend(entry: Quarantined, body: Uint8Array): Promise<boolean>;
  /** Whether it was there. */
  drop(id: string): Promise<boolean>;
  /** How many there are at a time, in ms. */
  count(at: number): Promise<number>;
}

const keepInQuarantine = defineScript({
  name: "keep-in-quarantine",
  keys: ["entry", "index"],
  args: ["id", "counts_from", "content", "expires_at", "forget_before"],
  reply: (raw) => raw === 1,
});

const DAY_MS = 86_400_000;
/** However long ago it came: a dead letter is tried again, or a half is found, weeks later. */
const SHORTEST_STAY_MS = 7 * DAY_MS;

export function createQuarantine(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly retentionDays: number;
  readonly now?: () => number;
}): Quarantine {
  const { redis, now = Date.now } = ports;
  const shard = ports.shards.first;
  const retentionMs = ports.retentionDays * DAY_MS;
  return {
    async keep(entry) {
      const expiresAt = Math.max(Date.parse(entry.receivedAt) + retentionMs, now() + SHORTEST_STAY_MS);
      await keepInQuarantine(
        redis,
        { entry: quarantineEntryKey(shard, entry.id), index: quarantineIndexKey(shard) },
        {
          id: entry.id,
          // So that the index says of each whether it is still there.
          counts_from: expiresAt - retentionMs,
          content: encode(entry),
          expires_at: expiresAt,
          forget_before: now() - retentionMs,
        },
      );
    },
    async get(id) {
      const content = await redis.get(quarantineEntryKey(shard, id));
      return content === null ? undefined : decode(content);
    },
    async list(limit) {
      const ids = await redis.zrange(quarantineIndexKey(shard), "+inf", "-inf", "BYSCORE", "REV", "LIMIT", 0, limit);
      const contents = await Promise.all(ids.map((id) => redis.get(quarantineEntryKey(shard, id))));
      return contents.flatMap((content) => (content === null ? [] : [decode(content)]));
    },
    async amend(entry, body) {
      const content = encode({ ...entry, body });
      return (await redis.set(quarantineEntryKey(shard, entry.id), content, "KEEPTTL", "XX")) === "OK";
    },
    async drop(id) {
      const step = redis.multi().del(quarantineEntryKey(shard, id)).zrem(quarantineIndexKey(shard), id);
      const [deleted] = (await step.exec()) ?? [];
      return deleted?.[1] === 1;
    },
    // Those that count from before are dropped, and leave the index only when another one comes.
    count: (at) => redis.zcount(quarantineIndexKey(shard), `(${at - retentionMs}`, "+inf"),
  };
}

/** Text stays readable; bytes that are no text are kept as Base64. */
function encode({ body, ...rest }: Quarantined): string {
  const encoding = isUtf8(body) ? "utf8" : "base64";
  return JSON.stringify({ ...rest, encoding, body: Buffer.from(body).toString(encoding) });
}

function decode(content: string): Quarantined {
  const { body, encoding, ...rest } = JSON.parse(content);
  return { ...rest, body: Buffer.from(body, encoding) };
}
