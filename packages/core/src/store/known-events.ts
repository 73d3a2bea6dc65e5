import type { Redis } from "../redis/connect.ts";
import { knownInviteesKey, type Shards, sweptKey } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** How many invitees of an event are known: all that ever were, and those who are not canceled. */
export interface InviteeCount {
  readonly total: number;
  readonly active: number;
}

/** How an event was when a sweep last read its invitees. Deliveries never write it. */
export interface Swept {
  /** As Calendly says it. */
  readonly updatedAt: string;
  readonly status: string;
  /** In ms. */
  readonly readAt: number;
}

interface KnownEvent {
  readonly id: string;
  /** ISO 8601: what is known of it is kept for the retention after that. */
  readonly end: string;
}

/** Which scheduled events are known, and whose invitees: what a sweep compares with what Calendly says. */
export interface KnownEvents {
  /** Writes down that an invitee is known. Whoever is canceled stays so. */
  note(event: KnownEvent, inviteeId: string, isActive: boolean): Promise<void>;
  /** Forgets those whom Calendly does not list (any more). */
  keepListed(eventId: string, inviteeIds: ReadonlySet<string>): Promise<void>;
  count(eventId: string): Promise<InviteeCount>;
  swept(eventIds: readonly string[]): Promise<(Swept | undefined)[]>;
  keepSwept(event: KnownEvent, swept: Swept): Promise<void>;
}

const DAY_MS = 86_400_000;
/** Longer than a sweep looks back. */
const SHORTEST_MEMORY_MS = 10 * DAY_MS;

const noteInvitee = defineScript({
  name: "note-invitee",
  keys: ["invitees"],
  args: ["id", "state", "expires_at"],
  reply: () => undefined,
});

export function createKnownEvents(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly retentionDays: number;
  readonly now: () => number;
}): KnownEvents {
  const { redis, shards, retentionDays, now } = ports;
  const inviteesOf = (eventId: string) => knownInviteesKey(shards.of(eventId), eventId);
  const keptUntil = (end: string) =>
    Math.max(Date.parse(end) + Math.max(retentionDays * DAY_MS, SHORTEST_MEMORY_MS), now() + SHORTEST_MEMORY_MS);

  return {
    async note({ id, end }, inviteeId, isActive) {
      const state = isActive ? "active" : "canceled";
      await noteInvitee(redis, { invitees: inviteesOf(id) }, { id: inviteeId, state, expires_at: keptUntil(end) });
    },
    async keepListed(eventId, inviteeIds) {
      const key = inviteesOf(eventId);
      const unlisted = (await redis.hkeys(key)).filter((id) => !inviteeIds.has(id));
      if (unlisted.length > 0) await redis.hdel(key, ...unlisted);
    },
    async count(eventId) {
      const states = await redis.hvals(inviteesOf(eventId));
      return { total: states.length, active: states.filter((state) => state === "active").length };
    },
    async swept(eventIds) {
      if (eventIds.length === 0) return [];
      const records = await redis.mget(eventIds.map(sweptKey));
      return records.map((record) => (record === null ? undefined : (JSON.parse(record) as Swept)));
    },
    async keepSwept({ id, end }, swept) {
      await redis.set(sweptKey(id), JSON.stringify(swept), "PXAT", keptUntil(end));
    },
  };
}
