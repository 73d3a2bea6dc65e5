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

/** What begins with one hash tag, and lies in one slot so. */
export type Place = Pick<Shard, "tag">;

/** What belongs to no shard lies here whatever their number: with several, not with the first of them. */
export const COMMON: Place = { tag: "{calendly:0}" };

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

/** What begins BullMQ's keys of a queue: `…wait` (list), `…active` (list), `…delayed` (sorted set), `…<job>` (hash), … */
export const queuePrefix = (shard: Shard, queue: string) => `${shard.tag}:${queue}:`;

/** String: written before replicas are waited for, so that there is something to wait for. Expires within a minute. */
export const replicationMarkKey = (place: Place) => `${place.tag}:replication-mark`;

/** Hash `{version, record, lookups}`: one booking as JSON, and by what it is found. Expires with the retention. */
export const bookingKey = (shard: Shard, bookingId: string) => `${shard.tag}:booking:${bookingId}`;

/** Sorted set, all of one score: by what bookings are found, see store/lookups.ts. No expiry of its own. */
export const lookupKey = (shard: Shard) => `${shard.tag}:lookup`;

/** Sorted set: a booking's members of that, one a line, by the time in ms at which it expires. */
export const lookupExpiryKey = (shard: Shard) => `${shard.tag}:lookup-expiry`;

/**
 * String: id of the booking that an invitee, or a routing form submission, belongs to. An invitee's lasts at least as long
 * as the booking.
 */
export const indexKey = (shard: Shard, id: string) => `${shard.tag}:index:${id}`;

/**
 * Hash identity → delivery as JSON: those that wait until the booking of an invitee or a routing form submission is
 * known. Emptied when it is; expires with the retention.
 */
export const waitingKey = (shard: Shard, id: string) => `${shard.tag}:waiting:${id}`;

/**
 * Sorted set: ids of bookings that something is still to be asked for, and of invitees that deliveries wait for, by the
 * time in ms at which to look whether a job does so. No expiry.
 */
export const unfinishedKey = (shard: Shard) => `${shard.tag}:unfinished`;

/**
 * Sorted set: ids of bookings, and of invitees that deliveries wait for, whose missing part was asked for in vain, by
 * the time of that in ms. No expiry.
 */
export const incompleteKey = (shard: Shard) => `${shard.tag}:incomplete`;

/** String: the time in ms at which an invitee was erased. No expiry: whoever was erased stays erased. */
export const erasedKey = (shard: Shard, inviteeId: string) => `${shard.tag}:erased:${inviteeId}`;

/** Stream of outcomes with the fields id, type, subject, event. Trimmed by age. */
export const outcomeStreamKey = (shard: Shard) => `${shard.tag}:outcomes`;

/** String: stream id of the last outcome that was dropped by age. Who has read less has missed something. No expiry. */
export const outcomesTrimmedKey = (shard: Shard) => `${shard.tag}:outcomes:trimmed`;

/** What begins the keys of a group of consumers beside the stream. */
export const outcomeGroupPrefix = (shard: Shard, group: string) => `${shard.tag}:outcomes:group:${group}:`;

/** String: the one consumer of a group that reads the shard now. Expires unless it is renewed. */
export const groupLeaseKey = (shard: Shard, group: string) => `${outcomeGroupPrefix(shard, group)}lease`;

/** Sorted set: the live consumers of a group by when they were last heard of, in ms. No expiry. */
export const groupMembersKey = (shard: Shard, group: string) => `${outcomeGroupPrefix(shard, group)}members`;

/** Hash stream id → how often an outcome was tried in vain. No expiry; emptied as outcomes are settled. */
export const groupAttemptsKey = (shard: Shard, group: string) => `${outcomeGroupPrefix(shard, group)}attempts`;

/** Stream of outcomes that a group has given up: stream_id, id, type, subject, attempts, error, reason. About 10,000 are kept, for 30 days. */
export const groupDeadLettersKey = (shard: Shard, group: string) => `${outcomeGroupPrefix(shard, group)}dead`;

/** Hash: what was announced of a booking to come, and how it ended. Expires with the retention. */
export const expectationKey = (shard: Shard, reference: string) => `${shard.tag}:expectation:${reference}`;

/** Sorted set: references that are waited for, by the time in ms until which. No expiry. */
export const expectationsDueKey = (shard: Shard) => `${shard.tag}:expectations-due`;

/** Hash `completed`, `expired`: how many expectations ended so. No expiry. */
export const expectationCountsKey = (shard: Shard) => `${shard.tag}:expectation-counts`;

/** Hash id → where outcomes are pushed to, as JSON, with its secrets. No expiry. */
export const destinationsKey = "{calendly:0}:destinations";

/** Hash of how the pushing to a destination goes: `failures`, `failing_since`, `paused`, … No expiry. */
export const destinationStateKey = (id: string) => `{calendly:0}:destination:${id}:state`;

/** String: there while somebody finds out whether a destination that failed in a row is well again. Expires after 15 s. */
export const destinationProbeKey = (id: string) => `{calendly:0}:destination:${id}:probe`;

/** What begins the names of the lines of a destination. */
export const pushLinePrefix = (destinationId: string) => `{calendly:0}:destination:${destinationId}:line:`;

/** Sorted set, all of one score: jobs that push a booking's outcomes in order, the next one first. Expires after 60 days. */
export const pushLineKey = (destinationId: string, subject: string) => `${pushLinePrefix(destinationId)}${subject}`;

/** Sorted set: ids of the bookings that take a host's time, by its start in ms. Expires with the retention. */
export const hostTimesKey = (shard: Shard, hostId: string) => `${shard.tag}:host:${hostId}:times`;

/** Hash booking id → what it takes, as JSON, or the version alone where it takes nothing any more. Expires likewise. */
export const hostBookingsKey = (shard: Shard, hostId: string) => `${shard.tag}:host:${hostId}:bookings`;

/** Hash `<booking>+<booking>` → what has been told of the two, as JSON. Expires likewise. */
export const hostPairsKey = (shard: Shard, hostId: string) => `${shard.tag}:host:${hostId}:pairs`;

/**
 * Hash booking id → ids of the bookings that something has been told of together with it, joined by spaces; `:pairs` → how
 * many pairs are written down so. Finds in `…:pairs` what is about one booking. Expires likewise.
 */
export const hostPartnersKey = (shard: Shard, hostId: string) => `${shard.tag}:host:${hostId}:partners`;

/** Sorted set: ids of the bookings that a host's keys hold, by the time in ms after which they are dropped. */
export const hostExpiryKey = (shard: Shard, hostId: string) => `${shard.tag}:host:${hostId}:expiry`;

/** Sorted set `<host>/<booking>+<booking>`: conflicts that are open, by the end of their overlap in ms. No expiry. */
export const openConflictsKey = (shard: Shard) => `${shard.tag}:open-conflicts`;

/** String: an answer of Calendly's API as JSON. Expires after its time to live and the grace. No tag: it may lie anywhere. */
export const cacheKey = (name: string) => `calendly:cache:${name}`;

/** String: who is asking Calendly for that answer now. Expires when that takes too long. */
export const cacheLockKey = (name: string) => `calendly:cache-lock:${name}`;

/** Channel: names of answers that hold no longer. */
export const cacheDropChannel = "calendly:cache-drop";

/** Hash of what is known of each API token, by its fingerprint: `<fingerprint>:state`, `:used`, … No expiry. */
export const apiTokensKey = "{calendly:0}:api:tokens";

/** Hash: the account's budget of requests in the current window. No expiry. */
export const apiBudgetKey = "{calendly:0}:api:budget";

/** Sorted set: requests under way, by the time in ms at which they count as lost. No expiry. */
export const apiInFlightKey = "{calendly:0}:api:in-flight";

/** Hash of what is known of each signing key, by its fingerprint: `<fingerprint>:slot`, `:verified`, … No expiry. */
export const signingKeysKey = "{calendly:0}:signing-keys";

/** String: what the last check of tokens and signing keys found, as JSON. No expiry. */
export const credentialReportKey = "{calendly:0}:credential-report";

/** Stream of notices with the fields type, subject, time, message. About a thousand are kept. */
export const noticesKey = "{calendly:0}:notices";

/**
 * Hash `{signature, confirmed}` of a fact that was delivered too late: the signature that it last came with, and when
 * Calendly's API was asked for it. Expires with the memory of delivered facts.
 */
export const lateKey = (shard: Shard, identity: string) => `${shard.tag}:late:${identity}`;

/** String: there while a notice that is given once in a while need not be given again. Expires after that while. */
export const noticedKey = (type: string, subject: string) => `{calendly:0}:noticed:${type}:${subject}`;

/** String: what the guardian of the webhook subscription last saw, as JSON. No expiry. */
export const subscriptionReportKey = "{calendly:0}:subscription-report";

/** Hash: URI of a webhook subscription → fingerprint of its signing key; `last` → that of the newest. No expiry. */
export const subscriptionKeysKey = "{calendly:0}:subscription-keys";

/** String: how far the rotation of the signing key is, as JSON; there only while one is under way. No expiry. */
export const rotationKey = "{calendly:0}:rotation";

/** Hash `<app>/<id>` → what a live process says of itself and when, as JSON. No expiry. */
export const instancesKey = "{calendly:0}:instances";

/** Hash `<queue>/<shard>` → when a heartbeat last went through it, in ms. No expiry. */
export const heartbeatsKey = "{calendly:0}:heartbeats";

/** String: how many workers found themselves deaf. No expiry. */
export const deafWorkersKey = "{calendly:0}:deaf-workers";

/** Hash `accepted`, `folded`, `published`, `refused`, `failed`: how many in that minute since 1970. Expires after two hours. */
export const flowKey = (minute: number) => `{calendly:0}:flow:${minute}`;

/** Stream of what people did: who, action, subject, time. About 10,000 are kept. */
export const auditKey = "{calendly:0}:audit";

/** String: there while the advice to rotate a token is not wanted, by the token's fingerprint. Expires with that. */
export const snoozedTokenKey = (fingerprint: string) => `{calendly:0}:snoozed-token:${fingerprint}`;

/** Hash invitee id → `active` or `canceled`: the known invitees of a scheduled event. Expires with the retention. */
export const knownInviteesKey = (shard: Shard, eventId: string) => `${shard.tag}:event:${eventId}:invitees`;

/** String: how a scheduled event was when a sweep last read its invitees, as JSON. Expires with the retention. */
export const sweptKey = (eventId: string) => `{calendly:0}:swept:${eventId}`;

/** String: a comparison with Calendly's API that is under way, as JSON. Expires after a week. */
export const sweepRunKey = (name: string) => `{calendly:0}:sweep:run:${name}`;

/** String: how the last comparison of that name ended, as JSON. Expires after 30 days. */
export const sweepReportKey = (name: string) => `{calendly:0}:sweep:report:${name}`;

/** Sorted set of times in ms: `newest_missed_at`. No expiry. */
export const reconciliationKey = "{calendly:0}:reconciliation";

/** Hash of the hops of a delivery that was sent as a test, by name. Expires after an hour. */
export const testDeliveryKey = (id: string) => `{calendly:0}:test:${id}`;

/** String: one quarantined delivery as JSON. Expires with the retention, counted from its arrival, or after a week. */
export const quarantineEntryKey = (shard: Shard, id: string) => `${shard.tag}:quarantine:entry:${id}`;

/** Sorted set: ids of quarantined deliveries by the time in ms that their retention counts from. No expiry. */
export const quarantineIndexKey = (shard: Shard) => `${shard.tag}:quarantine:index`;

/** String: written to see whether Redis takes writes. Expires after ten seconds. */
export const probeKey = "{calendly:0}:probe";

/**
 * Hash of what is fixed for the life of a deployment: `shards`, `began_at` in ms, a random `id` to know it by, and the random `fingerprint_key` that secrets are named
 * with. Under one name whatever the number of shards, since it is read to find that out. No expiry.
 */
export const deploymentKey = "{calendly:0}:deployment";
