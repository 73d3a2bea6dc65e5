import type { InviteeKnowledge } from "@calendly-worker/core/bookings/knowledge";
import { deliveryBody } from "@calendly-worker/core/calendly/api-deliveries";
import type { ApiInvitee, ApiScheduledEvent, CalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import { parseInviteeUri, parseResourceUri } from "@calendly-worker/core/calendly/references";
import type { CallOptions } from "@calendly-worker/core/calendly/requester";
import { COMMON } from "@calendly-worker/core/redis/keys";
import type { BookingStore } from "@calendly-worker/core/store/bookings";
import type { KnownEvents, Swept } from "@calendly-worker/core/store/known-events";
import type { MissedKind, SweepRun, SweepRuns } from "@calendly-worker/core/store/sweep-runs";
import type { Admit } from "./admit.ts";
import { askedDelivery } from "./asked-delivery.ts";
import type { Fold, FoldContext } from "./fold.ts";

const DAY_MS = 86_400_000;
/** Hosts mark who did not come after the event: that long after its end it is read once more. */
const NO_SHOWS_AFTER_MS = DAY_MS;

/** A fact that the API's answer states. */
interface Stated {
  readonly kind: MissedKind;
  /** In ms. */
  readonly at: number;
}

export interface How {
  /** In ms: what changed later is left to its delivery, or to the next comparison. */
  readonly changedBefore: number;
  /** Whether it only counts. */
  readonly isDryRun: boolean;
}

/** What the look at one event has added to a run. */
export type Looked = Pick<SweepRun, "read" | "facts" | "missed" | "historical" | "longestLagMs">;

export interface LookedAt {
  readonly event: ApiScheduledEvent;
  readonly looked: Looked;
  /** Why its invitees could not be read, or not all of them: nothing of it is counted then. */
  readonly unread?: CalendlyError;
}

export interface Sweep {
  /** Looks at events of one page of Calendly's list: gives for each what it added, in order. */
  look(
    events: readonly ApiScheduledEvent[],
    how: How,
    options: CallOptions,
    context: FoldContext,
  ): AsyncGenerator<LookedAt>;
}

export const NOTHING_MISSED: SweepRun["missed"] = {
  "invitee.created": 0,
  "invitee.canceled": 0,
  "invitee_no_show.created": 0,
  "invitee_no_show.deleted": 0,
};
/** Of an event that was not read. */
export const NOTHING: Looked = { read: 0, facts: 0, missed: NOTHING_MISSED, historical: 0, longestLagMs: 0 };

/**
 * Compares scheduled events with what Calendly's API says of them. The invitees of an event are read unless a sweep has
 * read them at this very state and as many are known as Calendly counts; what is missing takes the way of a delivery.
 */
export function createSweep(ports: {
  readonly client: Pick<CalendlyClient, "invitees">;
  readonly bookings: BookingStore;
  readonly events: KnownEvents;
  readonly runs: Pick<SweepRuns, "noteMissed">;
  readonly fold: Fold;
  readonly admit: Admit;
  /** Events that Calendly is to deliver: what is told of by none of them is taken up, and was not missed. */
  readonly subscribed: readonly string[];
  /** In ms: what happened before is history, and was not missed. */
  readonly publishFrom: () => number;
  readonly now: () => number;
}): Sweep {
  const { client, bookings, events, runs, fold, admit, subscribed, publishFrom, now } = ports;

  async function isUnchanged(event: ApiScheduledEvent, swept: Swept | undefined): Promise<boolean> {
    if (swept?.updatedAt !== event.updated_at || swept.status !== event.status) return false;
    const noShowsAt = Date.parse(event.end_time) + NO_SHOWS_AFTER_MS;
    if (swept.readAt < noShowsAt && now() >= noShowsAt) return false;
    const counted = event.invitees_counter;
    if (!counted) return true;
    const known = await events.count(parseResourceUri(event.uri));
    return known.total === counted.total && known.active === counted.active;
  }

  async function read(
    event: ApiScheduledEvent,
    { changedBefore, isDryRun }: How,
    options: CallOptions,
    context: FoldContext,
  ): Promise<Omit<LookedAt, "event">> {
    const readAt = now();
    const known = { id: parseResourceUri(event.uri), end: event.end_time };
    const listed = new Set<string>();
    let looked: Looked = { ...NOTHING, read: 1 };
    let isComplete = true;
    const onUnreadable = (error: CalendlyError) => {
      isComplete = false;
      options.onUnreadable?.(error);
    };
    const ends: CalendlyError[] = [];
    const invitees = client.invitees(event.uri, { ...options, onUnreadable });
    for await (const invitee of untilUnread(invitees, (error) => ends.push(error))) {
      context.signal.throwIfAborted();
      const { inviteeId } = parseInviteeUri(invitee.uri);
      listed.add(inviteeId);
      if (Date.parse(invitee.updated_at) > changedBefore) isComplete = false;
      else looked = sum(looked, await take(event, invitee, isDryRun, context));
    }
    const [unread] = ends;
    if (unread !== undefined) return { looked: NOTHING, unread };
    if (!isDryRun && isComplete) {
      await events.keepListed(known.id, listed);
      await events.keepSwept(known, { updatedAt: event.updated_at, status: event.status, readAt });
    }
    return { looked };
  }

  /** Takes up what the API says of an invitee, and counts what of it nobody had told. */
  async function take(
    event: ApiScheduledEvent,
    invitee: ApiInvitee,
    isDryRun: boolean,
    context: FoldContext,
  ): Promise<Looked> {
    const { inviteeId } = parseInviteeUri(invitee.uri);
    const before = await knowledgeOf(inviteeId);
    const delivery = askedDelivery(deliveryBody(invitee, event), now());
    const isLeftOut = (await admit(delivery)).kind === "dropped";
    if (!isDryRun) {
      if (isLeftOut) {
        const known = { id: parseResourceUri(event.uri), end: event.end_time };
        await events.note(known, inviteeId, invitee.status === "active");
      } else await fold.delivery(delivery, { ...context, marked: COMMON });
    }
    if (isLeftOut) return NOTHING;
    return await count(statedBy(invitee, before), isMissedBy(invitee, before), isDryRun);
  }

  async function count(stated: readonly Stated[], isMissed: (fact: Stated) => boolean, isDryRun: boolean) {
    const missed: Record<MissedKind, number> = { ...NOTHING_MISSED };
    let [facts, historical, longestLagMs] = [0, 0, 0];
    for (const fact of stated) {
      const isHistory = fact.at < publishFrom();
      if (isHistory) historical += isMissed(fact) ? 1 : 0;
      else if (subscribed.includes(fact.kind)) {
        facts += 1;
        if (!isMissed(fact)) continue;
        missed[fact.kind] += 1;
        longestLagMs = Math.max(longestLagMs, now() - fact.at);
        if (!isDryRun) await runs.noteMissed(fact.at);
      }
    }
    return { read: 0, facts, missed, historical, longestLagMs };
  }

  async function knowledgeOf(inviteeId: string): Promise<InviteeKnowledge | "gone" | undefined> {
    const bookingId = await bookings.find(inviteeId);
    if (bookingId === undefined) return undefined;
    const { booking } = await bookings.load(bookingId);
    return booking.invitees[inviteeId] ?? (booking.gone.includes(inviteeId) ? "gone" : undefined);
  }

  return {
    async *look(page, how, options, context) {
      const swept = await events.swept(page.map(({ uri }) => parseResourceUri(uri)));
      for (const [index, event] of page.entries()) {
        context.signal.throwIfAborted();
        const isFresh = Date.parse(event.updated_at) > how.changedBefore;
        const isLeft = isFresh || (await isUnchanged(event, swept[index]));
        yield { event, ...(isLeft ? { looked: NOTHING } : await read(event, how, options, context)) };
      }
    },
  };
}

/** Adds what was found to what was found before. */
export function sum(a: Looked, b: Looked): Looked {
  const missed = Object.entries(a.missed).map(([kind, count]) => [kind, count + b.missed[kind as MissedKind]]);
  return {
    read: a.read + b.read,
    facts: a.facts + b.facts,
    missed: Object.fromEntries(missed),
    historical: a.historical + b.historical,
    longestLagMs: Math.max(a.longestLagMs, b.longestLagMs),
  };
}

/** Ends where Calendly's API does not give the rest, and says why. What fails at whoever takes them is no matter of its. */
async function* untilUnread<T>(items: AsyncIterable<T>, onUnread: (error: CalendlyError) => void): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    if (!(error instanceof CalendlyError)) throw error;
    onUnread(error);
  }
}

/** All that an invitee's answer says has happened. That a mark was taken back shows only where it is known. */
function statedBy(invitee: ApiInvitee, before: InviteeKnowledge | "gone" | undefined): Stated[] {
  const { status, created_at, updated_at, cancellation, no_show } = invitee;
  const isMarked = before !== undefined && before !== "gone" && before.noShow[0] !== null;
  return [
    { kind: "invitee.created", at: Date.parse(created_at) },
    ...(status === "canceled"
      ? [{ kind: "invitee.canceled", at: Date.parse(cancellation?.created_at ?? updated_at) } as const]
      : []),
    ...(no_show ? [{ kind: "invitee_no_show.created", at: Date.parse(no_show.created_at) } as const] : []),
    ...(!no_show && isMarked ? [{ kind: "invitee_no_show.deleted", at: Date.parse(updated_at) } as const] : []),
  ];
}

function isMissedBy(invitee: ApiInvitee, before: InviteeKnowledge | "gone" | undefined): (fact: Stated) => boolean {
  if (before === "gone") return () => false;
  return ({ kind }) => {
    switch (kind) {
      case "invitee.created":
        return before === undefined;
      case "invitee.canceled":
        return before?.canceled !== true;
      case "invitee_no_show.created":
        return before?.noShow[0]?.uri !== invitee.no_show?.uri;
      case "invitee_no_show.deleted":
        return true;
    }
  };
}
