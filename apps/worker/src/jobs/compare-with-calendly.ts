import type { ApiScheduledEvent, CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError, type CalendlyErrorCode } from "@calendly-worker/core/calendly/errors";
import type { CallOptions } from "@calendly-worker/core/calendly/requester";
import type { SubscriptionOwner } from "@calendly-worker/core/calendly/subscriptions";
import type { Again, JobContext } from "@calendly-worker/core/queues/consumer";
import type { DataOf } from "@calendly-worker/core/queues/contract";
import type { Band, sweeps } from "@calendly-worker/core/queues/contracts";
import type { SweepRun, SweepRuns } from "@calendly-worker/core/store/sweep-runs";
import { NOTHING_MISSED, type Sweep, sum } from "../sweep.ts";

const PAGE = 100;
const DAY_MS = 86_400_000;
/** Where Calendly does not say when there is budget again: it counts by the minute. */
const NEXT_BUDGET_MS = 60_000;

/**
 * At how many tries of the job in a row an event's invitees cannot be read before it is passed over, so that it does not
 * hold up all later ones. Each of these tries has just been given the list of events, with the same token and scope: with
 * Calendly wholly away none gets so far. Where the answer is about the token or the budget, no number is enough.
 */
const TRIES: Readonly<Record<CalendlyErrorCode, number>> = {
  not_found: 1,
  permission_denied: 1,
  // Ten take eight minutes or more: longer than a disturbance that mends itself.
  unavailable: 10,
  timed_out: 10,
  unreadable_answer: 10,
  invalid_argument: 10,
  conflict: 10,
  unauthenticated: Number.POSITIVE_INFINITY,
  insufficient_scope: Number.POSITIVE_INFINITY,
  rate_limited: Number.POSITIVE_INFINITY,
};

type Wanted = Extract<DataOf<typeof sweeps>, { kind: "band" | "range" }>;

export interface BandSettings {
  readonly nearDays: number;
  readonly pastDays: number;
  readonly graceMs: number;
}

/**
 * Goes through a range of scheduled events and takes up what no delivery has told. How far it is stands in Redis: killed,
 * stopped or out of budget, it goes on there.
 */
export function compareWithCalendly(ports: {
  readonly client: Pick<CalendlyClient, "scheduledEvents">;
  readonly owner: (options: CallOptions) => Promise<SubscriptionOwner>;
  readonly sweep: Sweep;
  readonly runs: SweepRuns;
  readonly bands: BandSettings;
  /** After this time a long run lets others go on, and comes again. */
  readonly sliceMs: number;
  readonly now: () => number;
}): (data: Wanted, context: JobContext) => Promise<string | Again> {
  const { client, sweep, runs, now } = ports;

  return async (data, context) => {
    let run = (await runs.current(nameOf(data))) ?? begin(data);
    /** Counts the event and says so, or throws for another try. */
    function passOver({ uri }: ApiScheduledEvent, err: CalendlyError): void {
      // What the worker ended itself says nothing of the event.
      if (context.signal.aborted) throw err;
      const { failing, passedOver = 0, ...rest } = run;
      const tries = 1 + (failing?.uri === uri ? failing.tries : 0);
      if (tries >= TRIES[err.code]) {
        run = { ...rest, passedOver: passedOver + 1 };
        context.log.warn({ scheduledEvent: uri, code: err.code, tries, err }, "passed over an event");
        return;
      }
      if (Number.isFinite(TRIES[err.code])) run = { ...run, failing: { uri, tries } };
      throw err;
    }
    const options: CallOptions = {
      priority: "sweep",
      signal: context.signal,
      onRequest: () => {
        run = { ...run, requests: run.requests + 1 };
      },
      // One that does not fit must not hold up all others.
      onUnreadable: (err) => {
        run = { ...run, unreadable: run.unreadable + 1 };
        context.log.warn({ err }, "left out what calendly's answer says");
      },
    };
    const sliceEnd = now() + ports.sliceMs;
    try {
      const { organization, user } = await ports.owner(options);
      // Or else a long run would chase those who book meanwhile.
      const how = { changedBefore: Date.parse(run.startedAt) - run.graceMs, isDryRun: run.isDryRun };
      const [from, to] = [run.cursor?.start ?? run.from, run.to];
      const range = { ...(from !== null && { minStart: from }), ...(to !== null && { maxStart: to }) };
      const listed = client.scheduledEvents({ organization, ...(user && { user }), ...range }, options);
      for await (const page of pagesOf(listed)) {
        const rest = page.filter(({ uri }) => !run.cursor?.ids.includes(uri));
        let isSliceOver = false;
        for await (const { event, looked, unread } of sweep.look(rest, how, options, context)) {
          if (unread !== undefined) passOver(event, unread);
          run = { ...run, ...sum(run, looked), seen: run.seen + 1, cursor: after(run.cursor, event) };
          // At each event: while Calendly is slow a page takes so long that its queue would seem to be worked on by nobody.
          isSliceOver = now() > sliceEnd;
          if (isSliceOver) break;
        }
        await runs.keep(run);
        context.log.debug({ seen: run.seen, read: run.read, upTo: run.cursor?.start }, "comparing with calendly");
        if (isSliceOver) return { result: "going on", againAfterMs: 0 };
      }
    } catch (error) {
      await runs.keep(run);
      if (error instanceof CalendlyError && error.code === "rate_limited") {
        return { result: "rate limited", againAfterMs: error.details.retryAfterMs ?? NEXT_BUDGET_MS };
      }
      throw error;
    }
    const { cursor: _, failing: __, ...ended } = run;
    const report = { ...ended, endedAt: new Date(now()).toISOString() };
    await runs.finish(report);
    const { name, seen, read, unreadable, passedOver = 0, requests, facts, missed, historical, longestLagMs } = report;
    const counted = { seen, read, unreadable, passedOver, requests, facts, missed, historical, longestLagMs };
    context.log.info({ sweep: name, ...counted }, "compared");
    return "compared";
  };

  function begin(data: Wanted): SweepRun {
    const startedAt = new Date(now()).toISOString();
    const counts = {
      seen: 0,
      read: 0,
      unreadable: 0,
      requests: 0,
      facts: 0,
      missed: NOTHING_MISSED,
      historical: 0,
      longestLagMs: 0,
    };
    if (data.kind === "range") {
      const { name, from, to, graceMs, isDryRun } = data;
      return { name, startedAt, from, to, graceMs, isDryRun, ...counts };
    }
    const { graceMs } = ports.bands;
    return { name: data.band, startedAt, ...rangeOf(data.band), graceMs, isDryRun: false, ...counts };
  }

  function rangeOf(band: Band): Pick<SweepRun, "from" | "to"> {
    const { nearDays, pastDays } = ports.bands;
    const at = (days: number) => new Date(now() + days * DAY_MS).toISOString();
    switch (band) {
      case "near":
        return { from: at(0), to: at(nearDays) };
      case "far":
        return { from: at(nearDays), to: null };
      case "past":
        return { from: at(-pastDays), to: at(0) };
    }
  }
}

function nameOf(data: Wanted): string {
  return data.kind === "band" ? data.band : data.name;
}

function after(
  cursor: SweepRun["cursor"],
  { start_time: start, uri }: ApiScheduledEvent,
): NonNullable<SweepRun["cursor"]> {
  return { start, ids: cursor?.start === start ? [...cursor.ids, uri] : [uri] };
}

async function* pagesOf<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let page: T[] = [];
  for await (const item of items) {
    page.push(item);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
