import type { Redis } from "../redis/connect.ts";
import { fieldsOf } from "../redis/fields.ts";
import { auditKey } from "../redis/keys.ts";

/** Something that a person did to an installation. */
export interface AuditEntry {
  /** As they called themselves. */
  readonly who: string;
  readonly action: string;
  /** What it was done to, without anybody's data. */
  readonly subject: string;
  /** ISO 8601. */
  readonly at: string;
}

export interface Audit {
  note(entry: Omit<AuditEntry, "at">): Promise<void>;
  /** The newest first. */
  last(count: number): Promise<AuditEntry[]>;
}

/** About as many are kept. */
const KEPT = 10_000;

export function createAudit(redis: Redis, now: () => number): Audit {
  return {
    async note({ who, action, subject }) {
      const fields = Object.entries({ who, action, subject, time: new Date(now()).toISOString() }).flat();
      await redis.xadd(auditKey, "MAXLEN", "~", KEPT, "*", ...fields);
    },
    async last(count) {
      const entries = await redis.xrevrange(auditKey, "+", "-", "COUNT", count);
      return entries.map(([, fields]) => {
        const all = fieldsOf(fields);
        const of = (name: string) => all.get(name) ?? "";
        return { who: of("who"), action: of("action"), subject: of("subject"), at: of("time") };
      });
    },
  };
}
