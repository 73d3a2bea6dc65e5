import type { Redis } from "../redis/connect.ts";
import { fieldsOf } from "../redis/fields.ts";
import { noticedKey, noticesKey } from "../redis/keys.ts";

/** What the people who look after an installation should know. */
export const NOTICES = [
  "credentials.token_failed_over",
  "credentials.token_dead",
  "credentials.rotation_recommended",
  "credentials.signing_key_unused",
  "deliveries.signature_time_frozen",
  "deliveries.silent",
  "subscription.missing",
  "subscription.disabled",
  "subscription.retrying",
  "subscription.events_differ",
  "subscription.doubled",
  "subscription.stray",
  "subscription.healed",
  "subscription.not_healed",
  "rotation.stalled",
  "outcomes.group_lagging",
  "outcomes.group_lost",
  "destinations.failing",
  "destinations.paused",
  "destinations.gone",
] as const;
export type NoticeType = (typeof NOTICES)[number];

export interface Notice {
  readonly type: NoticeType;
  /** What it is about, without a secret. */
  readonly subject: string;
  readonly message: string;
}

export interface KeptNotice {
  readonly type: string;
  readonly subject: string;
  readonly message: string;
  /** ISO 8601. */
  readonly at: string;
}

/** The newest first. */
export async function lastNotices(redis: Redis, count: number): Promise<KeptNotice[]> {
  const entries = await redis.xrevrange(noticesKey, "+", "-", "COUNT", count);
  return entries.map(([, fields]) => {
    const all = fieldsOf(fields);
    const of = (name: string) => all.get(name) ?? "";
    return { type: of("type"), subject: of("subject"), message: of("message"), at: of("time") };
  });
}

export interface Notices {
  add(notice: Notice): Promise<void>;
  /** Gives it unless one of its type and subject was given so within the last day. */
  addOnceADay(notice: Notice): Promise<boolean>;
}

const DAY_S = 86_400;

/** About as many are kept. */
const KEPT = 1_000;

export function createNotices(redis: Redis, now: () => number): Notices {
  async function add({ type, subject, message }: Notice): Promise<void> {
    const fields = Object.entries({ type, subject, time: new Date(now()).toISOString(), message }).flat();
    await redis.xadd(noticesKey, "MAXLEN", "~", KEPT, "*", ...fields);
  }

  return {
    add,
    async addOnceADay(notice) {
      const isNew = (await redis.set(noticedKey(notice.type, notice.subject), "1", "EX", DAY_S, "NX")) === "OK";
      if (isNew) await add(notice);
      return isNew;
    },
  };
}
