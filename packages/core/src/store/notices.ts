import type { Redis } from "ioredis";
import { noticesKey } from "../redis/keys.ts";

/** What the people who look after an installation should know. */
export const NOTICES = [
  "credentials.token_failed_over",
  "credentials.token_dead",
  "credentials.rotation_recommended",
  "credentials.signing_key_unused",
] as const;
export type NoticeType = (typeof NOTICES)[number];

export interface Notice {
  readonly type: NoticeType;
  /** What it is about, without a secret. */
  readonly subject: string;
  readonly message: string;
}

export interface Notices {
  add(notice: Notice): Promise<void>;
}

/** About as many are kept. */
const KEPT = 1_000;

export function createNotices(redis: Redis, now: () => number): Notices {
  return {
    async add({ type, subject, message }) {
      const time = new Date(now()).toISOString();
      await redis.xadd(
        noticesKey,
        "MAXLEN",
        "~",
        KEPT,
        "*",
        "type",
        type,
        "subject",
        subject,
        "time",
        time,
        "message",
        message,
      );
    },
  };
}
