import calculateSlot from "cluster-key-slot";

const SLOTS = 16_384;

/**
 * A part of the deployment's data whose keys share one hash tag, so that each atomic step stays in one slot on Redis
 * Cluster.
 */
export interface Shard {
  readonly index: number;
  /** `{calendly:0}`: begins every key of the shard, and is BullMQ's prefix. */
  readonly tag: string;
}

export interface Shards {
  readonly all: readonly Shard[];
  /** Holds what belongs to no booking. */
  readonly first: Shard;
  /** The shard of an invitee's, booking's or other id. The same id always gives the same shard. */
  of(id: string): Shard;
}

/** Tags of `count` shards, whose slots are spread evenly over Redis Cluster's 16,384. */
export function createShards(count: number): Shards {
  const all = Array.from({ length: count }, (_, index) => ({ index, tag: `{${tagName(index, count)}}` }));
  const [first] = all;
  if (first === undefined) throw new RangeError(`expected one shard or more, got ${count}`);
  return { all, first, of: (id) => all[calculateSlot(id) % count] ?? first };
}

/** With several shards the name is lengthened until its slot falls into the shard's part of the slots. */
function tagName(index: number, count: number): string {
  const base = `calendly:${index}`;
  if (count === 1) return base;
  for (let salt = 0; ; salt++) {
    const name = salt === 0 ? base : `${base}:${salt}`;
    if (Math.floor((calculateSlot(name) * count) / SLOTS) === index) return name;
  }
}

// Every key of the project. BullMQ's own begin with `<tag>:<queue name>:`.

/** Hash `{version, record}`: one booking as JSON. No expiry. */
export const bookingKey = (shard: Shard, bookingId: string) => `${shard.tag}:booking:${bookingId}`;

/** String: id of the booking that an invitee belongs to. No expiry. */
export const inviteeIndexKey = (shard: Shard, inviteeId: string) => `${shard.tag}:invitee:${inviteeId}`;

/** Hash identity → delivery as JSON: those that wait until the invitee they follow is known. Emptied when it is. */
export const waitingKey = (shard: Shard, inviteeId: string) => `${shard.tag}:waiting:${inviteeId}`;

/** Stream of outcomes with the fields id, type, subject, event. No expiry. */
export const outcomeStreamKey = (shard: Shard) => `${shard.tag}:outcomes`;

/** String: one quarantined delivery as JSON. No expiry. */
export const quarantineEntryKey = (shard: Shard, id: string) => `${shard.tag}:quarantine:entry:${id}`;

/** Sorted set: ids of quarantined deliveries by the time of their first arrival in ms. No expiry. */
export const quarantineIndexKey = (shard: Shard) => `${shard.tag}:quarantine:index`;

/**
 * Hash of what is fixed for the life of a deployment: `shards`. Under one name whatever the number of shards, since it
 * is read to find that out. No expiry.
 */
export const deploymentKey = "{calendly:0}:deployment";
