import { holeOf } from "@calendly-worker/core/bookings/booking";
import { outcomeEvent, toOutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { askedBody, type Chain, factOf, playHistory, storyOf } from "./histories.ts";
import { type Played, play } from "./play.ts";
import { comparable, isCanonical, lastState } from "./sameness.ts";

/** Asks Calendly for every hole, as workers do, until there is none. */
function fillHoles(chain: Chain, played: Played): Played {
  let filled = played;
  for (let hole = holeOf(filled.booking); hole !== undefined; hole = holeOf(filled.booking)) {
    const { id } = hole.invitee;
    const invitee = chain.invitees.find((known) => known.id === id);
    if (invitee === undefined) throw new Error(`the hole ${id} is nobody of the chain`);
    filled = play(chain.bookingId, [factOf(askedBody(invitee))], filled);
  }
  return filled;
}

/** What must not depend on the order, as text: thousands of them are compared. */
function essence({ outcomes }: Played): string {
  const ids = new Set(outcomes.map(({ id }) => id));
  if (ids.size < outcomes.length) throw new Error(`an outcome was told twice: ${outcomes.map(({ id }) => id).join()}`);
  return JSON.stringify([outcomes.filter(isCanonical).map(comparable), lastState(outcomes)]);
}

function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length < 2) yield [...items];
  for (const [index, item] of items.entries()) {
    for (const rest of permutations(items.toSpliced(index, 1))) yield [item, ...rest];
  }
}

const small = fc.tuple(storyOf({ moves: 2, noShowToggles: 2 }), fc.nat());
const large = fc.tuple(fc.array(storyOf({ moves: 5, noShowToggles: 3 }), { minLength: 1, maxLength: 4 }), fc.nat());

describe("whatever happens to a booking", () => {
  test("every permutation of the facts of a small history gives the same outcomes", () => {
    let orders = 0;
    fc.assert(
      fc.property(small, ([story, seed]) => {
        const [chain] = playHistory([story], seed).chains;
        if (chain === undefined) throw new Error("no chain");
        const facts = chain.bodies.map(factOf);
        fc.pre(facts.length <= 6);
        const expected = essence(play(chain.bookingId, facts));
        for (const order of permutations(facts)) {
          expect(essence(play(chain.bookingId, order))).toBe(expected);
          orders += 1;
        }
      }),
      { numRuns: 40 },
    );
    expect(orders).toBeGreaterThan(1_000);
  });

  test("2,000 shuffles with repetitions of the facts of large ones do", () => {
    const shuffled = large.chain(([stories, seed]) => {
      const { chains } = playHistory(stories, seed);
      const orders = chains.map(({ bodies }) => {
        const repeated = fc.subarray([...bodies]).chain((again) => {
          const all = [...bodies, ...again];
          return fc.shuffledSubarray(all, { minLength: all.length });
        });
        return repeated;
      });
      return fc.tuple(fc.constant(chains), fc.tuple(...orders));
    });
    fc.assert(
      fc.property(shuffled, ([chains, orders]) => {
        for (const [index, chain] of chains.entries()) {
          const expected = essence(play(chain.bookingId, chain.bodies.map(factOf)));
          expect(essence(play(chain.bookingId, (orders[index] ?? []).map(factOf)))).toBe(expected);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("so does every part of them, where Calendly's API tells the rest", () => {
    const parts = large.chain(([stories, seed]) => {
      const { chains } = playHistory(stories, seed);
      const some = chains.map(({ bodies }) => fc.shuffledSubarray([...bodies], { minLength: 0 }));
      return fc.tuple(fc.constant(chains), fc.tuple(...some));
    });
    fc.assert(
      fc.property(parts, ([chains, delivered]) => {
        for (const [index, chain] of chains.entries()) {
          // Calendly's routing forms cannot be asked for.
          const forms = chain.bodies.filter((body) => factOf(body).kind === "routing_form");
          const expected = essence(play(chain.bookingId, chain.bodies.map(factOf)));
          const bodies = new Set([...(delivered[index] ?? []), ...forms]);
          const seen = fillHoles(chain, play(chain.bookingId, [...bodies].map(factOf)));
          // A sweep asks for everybody, in whatever order.
          const swept = play(
            chain.bookingId,
            chain.invitees.toReversed().map((one) => factOf(askedBody(one))),
            seen,
          );
          expect(essence(swept)).toBe(expected);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("what is told fits the schema that consumers are given", () => {
    fc.assert(
      fc.property(large, ([stories, seed]) => {
        for (const chain of playHistory(stories, seed).chains) {
          const { outcomes } = play(chain.bookingId, chain.bodies.map(factOf));
          expect(outcomes.length).toBeGreaterThan(0);
          for (const outcome of outcomes) outcomeEvent.parse(JSON.parse(JSON.stringify(toOutcomeEvent(outcome))));
        }
      }),
      { numRuns: 100 },
    );
  });
});
