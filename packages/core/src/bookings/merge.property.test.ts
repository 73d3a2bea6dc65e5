import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { type Booking, emptyBooking, mergeFact } from "./booking.ts";
import type { InviteeFact } from "./facts.ts";
import { publish } from "./outcomes.ts";

/** A chain of that many invitees, each fact that Calendly would tell of it, and perhaps a cancellation in the end. */
const histories = fc
  .record({ length: fc.integer({ min: 1, max: 6 }), canceled: fc.boolean() })
  .map(({ length, canceled }) => {
    const ids = Array.from({ length }, (_, index) => `invitee-${index}`);
    return ids.flatMap((id, index) => {
      const [old, next] = [ids[index - 1], ids[index + 1]];
      const created = factOf(id, "created", { ...(old === undefined ? {} : { oldInvitee: old }) });
      if (next === undefined && !canceled) return [created];
      const links = {
        ...(old === undefined ? {} : { oldInvitee: old }),
        ...(next === undefined ? {} : { newInvitee: next }),
      };
      return [created, factOf(id, "canceled", links)];
    });
  });

function factOf(
  id: string,
  half: "created" | "canceled",
  links: Pick<InviteeFact, "oldInvitee" | "newInvitee">,
): InviteeFact {
  const minute = String(10 + Number(id.split("-")[1])).padStart(2, "0");
  const updatedAt = half === "created" ? `2026-11-01T10:${minute}:00Z` : `2026-11-01T11:${minute}:00Z`;
  const cancellation = { by: "A", byType: "host", reason: null, at: `2026-11-01T11:${minute}:00Z` };
  return {
    identity: `invitee.${half}/${id}`,
    inviteeId: id,
    canceled: half === "canceled",
    rescheduled: links.newInvitee !== undefined,
    ...links,
    invitee: {
      updatedAt,
      fields: { uri: id, createdAt: `2026-11-01T10:${minute}:00Z`, ...(half === "canceled" ? { cancellation } : {}) },
    },
    event: {
      updatedAt,
      fields: { uri: `event of ${id}`, start: `2026-12-01T10:${minute}:00Z`, end: `2026-12-01T10:${minute}:30Z` },
    },
  };
}

function play(facts: readonly InviteeFact[]) {
  let booking: Booking = emptyBooking("invitee-0");
  const outcomes = facts.flatMap((fact) => {
    const merge = mergeFact(booking, fact);
    if (merge.kind === "malformed") throw new Error(merge.why);
    const published = publish(merge.booking, "webhook");
    booking = published.booking;
    return published.outcomes;
  });
  return { booking, outcomes };
}

describe("for any chain of reschedules, canceled in the end or not", () => {
  const shuffled = histories.chain((facts) =>
    fc.tuple(fc.constant(facts), fc.shuffledSubarray([...facts, ...facts], { minLength: facts.length * 2 })),
  );

  test("every order and repetition of its facts gives the same outcomes, in the same order", () => {
    fc.assert(
      fc.property(shuffled, ([facts, order]) => {
        const expected = play(facts);
        const played = play(order);
        expect(played.outcomes).toEqual(expected.outcomes);
        expect(played.booking.published).toEqual(expected.booking.published);
        expect(Object.keys(played.booking.invitees).toSorted()).toEqual(
          Object.keys(expected.booking.invitees).toSorted(),
        );
      }),
      { numRuns: 500 },
    );
  });
});
