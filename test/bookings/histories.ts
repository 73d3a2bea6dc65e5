import type { BookingFact } from "@calendly-worker/core/bookings/facts";
import { deliveryBody } from "@calendly-worker/core/calendly/api-deliveries";
import type { ApiInvitee, ApiScheduledEvent } from "@calendly-worker/core/calendly/client";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import fc from "fast-check";
import { type Account, createAccount } from "../simulator/account.ts";
import { createCatalog } from "../simulator/catalog.ts";
import type { Invitee } from "../simulator/meetings.ts";
import { eventResource, inviteeResource } from "../simulator/payloads.ts";
import { createRandom } from "../simulator/random.ts";
import { createStamp } from "../simulator/timestamps.ts";

/** What happens to one person's booking, from the first appointment on. */
export interface Story {
  /** A group event takes several people at one time. */
  readonly eventType: "product-demo" | "intro" | "webinar" | "sales-call" | "panel";
  readonly moves: number;
  readonly end: "kept" | "canceled by invitee" | "canceled by host";
  /** How often somebody is marked as a no-show or that is taken back, in turns. */
  readonly noShowToggles: number;
  readonly withRoutingForm: boolean;
}

/** One chain of invitees, and all that Calendly tells of it. */
export interface Chain {
  readonly bookingId: string;
  readonly invitees: readonly Invitee[];
  /** The bodies of all deliveries, in the order in which things happened. */
  readonly bodies: readonly string[];
}

export interface History {
  readonly account: Account;
  readonly chains: readonly Chain[];
}

const START_MS = Date.parse("2026-11-23T08:00:00Z");
const HOUR_MS = 3_600_000;

export function storyOf(limits: { readonly moves: number; readonly noShowToggles: number }): fc.Arbitrary<Story> {
  return fc.record({
    eventType: fc.constantFrom("product-demo", "intro", "webinar", "sales-call", "panel"),
    moves: fc.integer({ min: 0, max: limits.moves }),
    end: fc.constantFrom("kept", "canceled by invitee", "canceled by host"),
    noShowToggles: fc.integer({ min: 0, max: limits.noShowToggles }),
    withRoutingForm: fc.boolean(),
  });
}

/** Plays the stories at a Calendly of their own. */
export function playHistory(stories: readonly Story[], seed: number): History {
  const clock = createTestClock();
  const random = createRandom(seed);
  const baseUrl = "https://api.calendly.com";
  const account = createAccount({
    catalog: createCatalog(random, baseUrl),
    random,
    baseUrl,
    now: clock.now,
    stamp: createStamp(clock.now, createRandom(seed + 1)),
    tell: () => {},
  });
  return { account, chains: playStories(account, stories, clock) };
}

/** A clock that stands still until it is told to go on. */
export function createTestClock(): { readonly now: () => number; advance(): void } {
  let now = START_MS;
  return {
    now: () => now,
    advance() {
      now += 60_000;
    },
  };
}

/** Plays the stories, a step of each in turn, as they would happen side by side. */
export function playStories(
  account: Account,
  stories: readonly Story[],
  clock: { readonly advance: () => void },
): Chain[] {
  const chains = new Map<number, Invitee[]>();
  const forms = new Map<number, string>();
  let open = stories.map((story, index) => steps(account, story, index));
  while (open.length > 0) {
    open = open.filter((story) => {
      clock.advance();
      const { value, done } = story.next();
      if (value === undefined) return !done;
      if ("form" in value) forms.set(value.index, value.form);
      else chains.set(value.index, [...(chains.get(value.index) ?? []), value.invitee]);
      return !done;
    });
  }
  return [...chains].map(([index, invitees]) => chainOf(account, invitees, forms.get(index)));
}

type Step = { readonly index: number; readonly invitee: Invitee } | { readonly index: number; readonly form: string };

function* steps(account: Account, story: Story, index: number): Generator<Step | undefined, undefined> {
  // Many meet at one time, so that hosts are booked twice.
  const timeOf = (move: number) => new Date(START_MS + (48 + (index % 6) * 7 + move * 3) * HOUR_MS).toISOString();
  // People of one group event share its time.
  const start = (move: number) =>
    story.eventType === "webinar" ? new Date(START_MS + (720 + move) * HOUR_MS).toISOString() : timeOf(move);
  let routingFormSubmission: string | undefined;
  if (story.withRoutingForm) {
    routingFormSubmission = account.submitRoutingForm([{ question: "Team size", answer: "51-200" }], story.eventType);
    yield { index, form: routingFormSubmission };
  }
  let invitee = account.book({
    eventType: story.eventType,
    start: start(0),
    name: `Person ${index}`,
    email: `person${index}@example.org`,
    ...(routingFormSubmission && { routingFormSubmission }),
  });
  yield { index, invitee };
  for (let move = 1; move <= story.moves; move++) {
    invitee = account.reschedule(invitee.id, start(move));
    yield { index, invitee };
  }
  if (story.end !== "kept") {
    account.cancel(invitee.id, story.end === "canceled by host" ? "host" : "invitee", "no time");
    return undefined;
  }
  for (let toggle = 0; toggle < story.noShowToggles; toggle++) {
    if (toggle % 2 === 0) account.markNoShow(invitee.id);
    else account.clearNoShow(invitee.id);
    yield undefined;
  }
  return undefined;
}

function chainOf(account: Account, invitees: readonly Invitee[], form: string | undefined): Chain {
  const uris = new Set([...invitees.map(({ uri }) => uri), ...(form === undefined ? [] : [form])]);
  const bodies = account
    .history()
    .filter(({ payload }) => uris.has(String(payload["uri"])))
    .map(({ event, createdAt, payload }) =>
      JSON.stringify({ event, created_at: createdAt, created_by: account.catalog.admin.uri, payload }),
    );
  const [first] = invitees;
  if (first === undefined) throw new TypeError("the story has no invitee");
  return { bookingId: first.id, invitees, bodies };
}

export function factOf(body: string): BookingFact {
  const reading = readDelivery(Buffer.from(body));
  if (reading.kind !== "fact" || reading.fact.kind === "event_type") throw new TypeError(`no booking's fact: ${body}`);
  return reading.fact;
}

/** What Calendly's API says of an invitee in the end, in the words of a delivery. */
export function askedBody(invitee: Invitee): string {
  const [resource, event] = [inviteeResource(invitee), eventResource(invitee.event)];
  return deliveryBody(resource as unknown as ApiInvitee, event as unknown as ApiScheduledEvent);
}
