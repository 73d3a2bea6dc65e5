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

/** Of histories that nobody keeps: a booking in Redis is dropped some time after its end. */
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

export interface TestClock {
  readonly now: () => number;
  advance(): void;
}

/** A clock that stands still until it is told to go on. */
export function createTestClock(startMs = START_MS): TestClock {
  let now = startMs;
  return {
    now: () => now,
    advance() {
      now += 60_000;
    },
  };
}

/** More than fit into one group event are refused, as at Calendly: those meet alone. */
export function withRoom(story: Story, index: number): Story {
  return story.eventType === "webinar" && index >= 100 ? { ...story, eventType: "intro" } : story;
}

/** Plays the stories from the clock's time on, a step of each in turn, as they would happen side by side. */
export function playStories(account: Account, stories: readonly Story[], clock: TestClock): Chain[] {
  const startMs = clock.now();
  const begun = stories.map((story, index) => beginStory(account, story, index, startMs));
  let open = begun;
  while (open.length > 0) {
    open = open.filter((story) => {
      clock.advance();
      return story.step();
    });
  }
  return chainsOf(account, begun);
}

/** A story on its way. Each step is something that happens at Calendly. */
export interface BegunStory {
  /** Does the next step; whether there may be another one. */
  step(): boolean;
  /** The invitees so far. */
  readonly invitees: readonly Invitee[];
  /** The URIs of all that was told of so far. */
  readonly uris: readonly string[];
}

/** `startMs`: when the first of such stories begin; they meet two days later. */
export function beginStory(account: Account, story: Story, index: number, startMs: number): BegunStory {
  const invitees: Invitee[] = [];
  const uris: string[] = [];
  const telling = steps(account, story, index, startMs);
  return {
    invitees,
    uris,
    step() {
      const { value, done } = telling.next();
      if (value !== undefined) uris.push(value.uri);
      if (value !== undefined && "id" in value) invitees.push(value);
      return !done;
    },
  };
}

/** The chains of stories, with all that was told of them so far. A story of which only the form was told has none yet. */
export function chainsOf(account: Account, stories: readonly BegunStory[]): Chain[] {
  const told = Map.groupBy(account.history(), ({ payload }) => String(payload["uri"]));
  return stories.flatMap(({ invitees, uris }) => {
    const [first] = invitees;
    if (first === undefined) return [];
    const bodies = uris
      .flatMap((uri) => told.get(uri) ?? [])
      .map(({ event, createdAt, payload }) =>
        JSON.stringify({ event, created_at: createdAt, created_by: account.catalog.admin.uri, payload }),
      );
    return [{ bookingId: first.id, invitees, bodies }];
  });
}

function* steps(
  account: Account,
  story: Story,
  index: number,
  startMs: number,
): Generator<Invitee | { readonly uri: string } | undefined, undefined> {
  // Many meet at one time, so that hosts are booked twice.
  const timeOf = (move: number) => new Date(startMs + (48 + (index % 6) * 7 + move * 3) * HOUR_MS).toISOString();
  // People of one group event share its time.
  const start = (move: number) =>
    story.eventType === "webinar" ? new Date(startMs + (720 + move) * HOUR_MS).toISOString() : timeOf(move);
  let routingFormSubmission: string | undefined;
  if (story.withRoutingForm) {
    routingFormSubmission = account.submitRoutingForm([{ question: "Team size", answer: "51-200" }], story.eventType);
    yield { uri: routingFormSubmission };
  }
  let invitee = account.book({
    eventType: story.eventType,
    start: start(0),
    name: `Person ${index}`,
    email: `person${index}@example.org`,
    ...(routingFormSubmission && { routingFormSubmission }),
  });
  yield invitee;
  for (let move = 1; move <= story.moves; move++) {
    invitee = account.reschedule(invitee.id, start(move));
    yield invitee;
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
