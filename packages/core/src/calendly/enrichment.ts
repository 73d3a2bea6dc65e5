import { bulkhead, ConsecutiveBreaker, circuitBreaker, handleWhen, TimeoutStrategy, timeout, wrap } from "cockatiel";
import type { TakenTime } from "../bookings/conflicts.ts";
import type { Alternatives, EventTypeDetails } from "../bookings/outcome-data.ts";
import type { ApiEventType, CalendlyClient } from "./client.ts";
import { CalendlyError } from "./errors.ts";
import type { ApiToken } from "./gate.ts";

/** What is good to have in an outcome, but not worth holding it back: each call rejects soon when Calendly is in trouble. */
export interface Enrichment {
  eventType(uri: string): Promise<EventTypeDetails>;
  /**
   * The next free times of the event type, from one that cannot be kept on; null where none can be asked for. Rejects at
   * once where too many ask already.
   */
  alternatives(taken: TakenTime): Promise<Alternatives>;
}

const PATIENCE_MS = 2_000;
const FAILURES_BEFORE_OPEN = 3;
const HALF_OPEN_AFTER_MS = 10_000;
const DAY_MS = 86_400_000;
/** Calendly takes 31 days at most; nobody wants to be put off for longer than this. */
const ALTERNATIVES_WITHIN_MS = 7 * DAY_MS;
const MOST_ALTERNATIVES = 5;
/** Of a process. A storm of conflicts would else hold every fold for as long as Calendly takes to answer. */
const ALTERNATIVES_AT_ONCE = 3;

/** A second token that is never used proves nothing: about one read in a hundred goes through it. */
const EXERCISED = 0.01;

export function createEnrichment(ports: {
  readonly client: Pick<CalendlyClient, "eventType" | "availableTimes">;
  /** The second token, where there is one. */
  readonly secondary: ApiToken | undefined;
  /** From 0 to 1. */
  readonly random: () => number;
  readonly now: () => number;
}): Enrichment {
  const { client, secondary, random, now } = ports;
  const policy = wrap(
    circuitBreaker(handleWhen(isTrouble), {
      halfOpenAfter: HALF_OPEN_AFTER_MS,
      breaker: new ConsecutiveBreaker(FAILURES_BEFORE_OPEN),
    }),
    timeout(PATIENCE_MS, TimeoutStrategy.Aggressive),
  );
  const places = bulkhead(ALTERNATIVES_AT_ONCE);

  async function askForEventType(uri: string): Promise<ApiEventType> {
    if (secondary === undefined || random() >= EXERCISED) return await client.eventType(uri);
    // What is wrong with the second token is for the monitor to say.
    return await client.eventType(uri, { token: secondary }).catch(() => client.eventType(uri));
  }

  return {
    async eventType(uri) {
      const { slug, kind, pooling_type, duration } = await policy.execute(() => askForEventType(uri));
      return {
        slug: slug ?? null,
        kind: kind ?? null,
        poolingType: pooling_type ?? null,
        durationMinutes: duration ?? null,
      };
    },
    async alternatives({ eventType, start }) {
      // Only the future can be asked for; a minute is for the way.
      const from = Math.max(Date.parse(start), now() + 60_000);
      if (eventType === undefined) return null;
      const range = { start: new Date(from).toISOString(), end: new Date(from + ALTERNATIVES_WITHIN_MS).toISOString() };
      const times = await places.execute(() => policy.execute(() => client.availableTimes(eventType, range)));
      return times.slice(0, MOST_ALTERNATIVES).map(({ start_time, invitees_remaining }) => ({
        start: start_time,
        inviteesRemaining: invitees_remaining ?? null,
      }));
    },
  };
}

/** A clear no is none. */
function isTrouble(error: unknown): boolean {
  return !(error instanceof CalendlyError && error.code === "not_found");
}
