import type { Redis } from "../redis/connect.ts";
import { reconciliationKey, sweepReportKey, sweepRunKey } from "../redis/keys.ts";

/** What a sweep can find that no delivery has told. */
export const MISSED = [
  "invitee.created",
  "invitee.canceled",
  "invitee_no_show.created",
  "invitee_no_show.deleted",
] as const;
export type MissedKind = (typeof MISSED)[number];

/** One comparison of a range of events with Calendly's API: how far it is, or how it ended. Plain JSON. */
export interface SweepRun {
  /** Of the band, or random. */
  readonly name: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Starts of the events, ISO 8601: the first included, the last not; null has no bound. */
  readonly from: string | null;
  readonly to: string | null;
  /** What changed within this time before the start, or after it, is left to its delivery. */
  readonly graceMs: number;
  /** Whether it only counts. */
  readonly isDryRun: boolean;
  /** The start up to which all has been looked at, and the events of that very start that have been. */
  readonly cursor?: { readonly start: string; readonly ids: readonly string[] };
  /** Events that were listed, and those whose invitees were read. */
  readonly seen: number;
  readonly read: number;
  /** Events and invitees that Calendly's API told in a way that does not fit: left out. */
  readonly unreadable: number;
  /** Events that were passed over, as their invitees could not be read for good. Absent where there was none. */
  readonly passedOver?: number;
  /** The event whose invitees could not be read at the last try, and at how many in a row. */
  readonly failing?: { readonly uri: string; readonly tries: number };
  /** Requests to Calendly's API. */
  readonly requests: number;
  /**
   * Facts about the invitees that were read, of events that are subscribed to, history left out; and those among them that
   * no delivery had told.
   */
  readonly facts: number;
  readonly missed: Readonly<Record<MissedKind, number>>;
  /** Facts that were missing from before the installation began. */
  readonly historical: number;
  /** How old the oldest missed fact was when it was found. */
  readonly longestLagMs: number;
}

export interface SweepRuns {
  /** The one under way, to be gone on with. */
  current(name: string): Promise<SweepRun | undefined>;
  keep(run: SweepRun): Promise<void>;
  /** Makes it the report of that name. */
  finish(run: SweepRun): Promise<void>;
  report(name: string): Promise<SweepRun | undefined>;
  /** Remembers that a fact was missed which happened at that time, ms. */
  noteMissed(at: number): Promise<void>;
  /** When the newest fact happened that was missed so far, in ms. */
  newestMissedAt(): Promise<number | undefined>;
}

const DAY_S = 86_400;

export function createSweepRuns(redis: Redis): SweepRuns {
  async function read(key: string): Promise<SweepRun | undefined> {
    const text = await redis.get(key);
    return text === null ? undefined : (JSON.parse(text) as SweepRun);
  }
  return {
    current: (name) => read(sweepRunKey(name)),
    async keep(run) {
      await redis.set(sweepRunKey(run.name), JSON.stringify(run), "EX", 7 * DAY_S);
    },
    async finish(run) {
      const step = redis.multi().set(sweepReportKey(run.name), JSON.stringify(run), "EX", 30 * DAY_S);
      await step.del(sweepRunKey(run.name)).exec();
    },
    report: (name) => read(sweepReportKey(name)),
    async noteMissed(at) {
      await redis.zadd(reconciliationKey, "GT", String(at), "newest_missed_at");
    },
    async newestMissedAt() {
      const at = await redis.zscore(reconciliationKey, "newest_missed_at");
      return at === null ? undefined : Number(at);
    },
  };
}
