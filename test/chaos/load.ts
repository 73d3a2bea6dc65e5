import { setTimeout as pause } from "node:timers/promises";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import fc from "fast-check";
import { type BegunStory, beginStory, type Chain, chainsOf, storyOf, withRoom } from "../bookings/histories.ts";
import type { Attempt } from "../simulator/deliverer.ts";
import { createRandom } from "../simulator/random.ts";
import type { Simulator } from "../simulator/simulator.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";

/** What happens at Calendly while something goes wrong, and what became of telling it. */
export interface Load {
  /** Nothing happens from now on, and nothing more is waited for. */
  stop(): void;
  /** Lets no further story begin, and ends those that are under way. Resolves when everything was acknowledged. */
  finish(deadlineMs: number): Promise<void>;
  chains(): Chain[];
  attempts(): readonly Attempt[];
  /** Identities that were answered 200. */
  acknowledged(): ReadonlySet<string>;
  /** Identities of genuine deliveries that are no facts. */
  readonly unfit: ReadonlySet<string>;
  /** Deliveries with a wrong signature, and how many of them were not refused. */
  forged(): { readonly sent: number; readonly accepted: number };
}

const TICK_MS = 20;
/** Told side by side: what is under way in the end is told at once, and must not outweigh what was told before. */
const MOST_STORIES_AT_ONCE = 30;
const storiesAtOnce = (deliveriesPerSecond: number) =>
  Math.min(MOST_STORIES_AT_ONCE, Math.ceil(deliveriesPerSecond / 2.5));
/** Each fact is delivered so often at least, as if there were two subscriptions. */
const COPIES = 2;
/** One step in so many goes with a delivery that nobody can read, and with a forged one. */
const STRANGE_EVERY = 40;
const RETRY_MS = 300;
/** A step tells so much on average; measured. */
const FACTS_PER_STEP = 1.2;

/** Begins to let things happen: about so many deliveries a second, in confused order. */
export function startLoad(simulator: Simulator, webhookUrl: string, deliveriesPerSecond: number): Load {
  const { account, seed } = simulator;
  simulator.setFaults({ duplicate: COPIES, reorder: 8 });
  simulator.subscribe(webhookUrl, SIGNING_KEY);
  const random = createRandom(seed + 77);
  const stories = fc.sample(storyOf({ moves: 4, noShowToggles: 3 }), { numRuns: 500, seed });
  const all: BegunStory[] = [];
  let open: BegunStory[] = [];
  const atOnce = storiesAtOnce(deliveriesPerSecond);
  const strange = createStrangeDeliveries(webhookUrl);
  let isFinishing = false;
  let due = 0;
  let steps = 0;
  let last = performance.now();

  function begin(): BegunStory {
    const index = all.length;
    const story = withRoom(stories[index % stories.length] as (typeof stories)[0], index);
    // What happens at one time is not more than a day's work, however long this goes on.
    const startMs = Date.parse("2030-01-01T08:00:00Z") + Math.floor(index / 8) * 6 * 3_600_000;
    const begun = beginStory(account, story, index, startMs);
    all.push(begun);
    return begun;
  }

  function step(): void {
    if (!isFinishing && open.length < atOnce) open.push(begin());
    const story = random.pick(open);
    if (!story.step()) open = open.filter((other) => other !== story);
    steps += 1;
    if (steps % STRANGE_EVERY === 0) strange.send(`${seed}/${steps}`);
  }

  const timer = setInterval(() => {
    const now = performance.now();
    due += ((now - last) / 1_000) * (deliveriesPerSecond / COPIES / FACTS_PER_STEP);
    last = now;
    for (; due >= 1; due--) step();
  }, TICK_MS);

  return {
    stop() {
      clearInterval(timer);
      strange.stop();
    },
    async finish(deadlineMs) {
      isFinishing = true;
      clearInterval(timer);
      while (open.length > 0) step();
      simulator.setFaults({ reorder: 1 });
      await Promise.all([simulator.settled({ timeoutMs: deadlineMs }), strange.settled(deadlineMs)]);
    },
    chains: () => chainsOf(account, all),
    attempts: () => simulator.attempts(),
    acknowledged: () =>
      new Set([
        ...strange.acknowledged,
        ...simulator
          .attempts()
          .filter(({ status }) => status === 200)
          .map(({ body }) => String((body as { readonly id?: unknown }).id)),
      ]),
    unfit: strange.unfit,
    forged: () => strange.forged,
  };
}

/** Genuine deliveries that fit no schema, sent until they are acknowledged; and forged ones, sent once. */
function createStrangeDeliveries(url: string) {
  const unfit = new Set<string>();
  const acknowledged = new Set<string>();
  const forged = { sent: 0, accepted: 0 };
  const open = new Set<Promise<void>>();
  const stopping = new AbortController();

  async function insist(body: string): Promise<void> {
    for (;;) {
      const answer = await deliver(url, body).catch(() => undefined);
      if (answer?.status === 200) return;
      if (stopping.signal.aborted) throw new Error("an unfit delivery was not acknowledged in time");
      await pause(RETRY_MS, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  async function forge(body: string): Promise<void> {
    forged.sent += 1;
    const signature = signatureHeader(body, "a key that nobody gave out");
    const answer = await deliver(url, body, { signature }).catch(() => undefined);
    if (answer?.status === 200) forged.accepted += 1;
  }

  function keep(sending: Promise<void>): void {
    const settled = sending.finally(() => open.delete(settled));
    settled.catch(() => {});
    open.add(settled);
  }

  return {
    unfit,
    acknowledged,
    forged,
    send(name: string): void {
      const body = JSON.stringify({ event: "invitee.created", payload: { uri: name } });
      const { identity } = readDelivery(Buffer.from(body));
      unfit.add(identity);
      keep(insist(body).then(() => void acknowledged.add(identity)));
      keep(forge(JSON.stringify({ event: "invitee.created", payload: { uri: `forged ${name}` } })));
    },
    stop: () => stopping.abort(),
    async settled(deadlineMs: number): Promise<void> {
      const timer = setTimeout(() => stopping.abort(), deadlineMs);
      await Promise.all(open).finally(() => clearTimeout(timer));
    },
  };
}
