import { describe, expect, test } from "@jest/globals";
import { type Booking, emptyBooking, mergeFact } from "./booking.ts";
import type { InviteeFact } from "./facts.ts";
import { knowledgeOf, mergeKnowledge } from "./knowledge.ts";
import type { Telling } from "./outcome-data.ts";
import { publish } from "./outcomes.ts";

interface Shape {
  readonly id: string;
  readonly old?: string;
  readonly next?: string;
  readonly canceled?: boolean;
  readonly updatedAt?: string;
  readonly name?: string;
}

const reference = (id: string) => ({ id, uri: `https://x/scheduled_events/e${id}/invitees/${id}` });
const TELLING: Telling = {
  origin: "webhook",
  referenceField: "utm_content",
  publishFrom: 0,
};

/** A fact about an invitee; the day of its event is its id's letter, so that each has a time of its own. */
function fact({ id, old, next, canceled = next !== undefined, updatedAt, name }: Shape): InviteeFact {
  const day = String(id.charCodeAt(0) - 64).padStart(2, "0");
  const changedAt = updatedAt ?? (canceled ? `2026-11-${day}T12:00:00Z` : `2026-11-${day}T08:00:00Z`);
  return {
    kind: "invitee",
    noShow: { updatedAt: changedAt, mark: null },
    identity: `${canceled ? "invitee.canceled" : "invitee.created"}/${id}`,
    inviteeId: id,
    canceled,
    rescheduled: next !== undefined,
    ...(old === undefined ? {} : { oldInvitee: reference(old) }),
    ...(next === undefined ? {} : { newInvitee: reference(next) }),
    invitee: {
      updatedAt: changedAt,
      fields: {
        uri: `https://x/scheduled_events/e${id}/invitees/${id}`,
        createdAt: `2026-11-${day}T08:00:00Z`,
        ...(name === undefined ? {} : { name }),
        ...(canceled
          ? { cancellation: { by: "A", byType: "invitee", reason: null, at: `2026-11-${day}T11:59:59Z` } }
          : {}),
      },
    },
    event: {
      updatedAt: changedAt,
      fields: {
        uri: `https://x/scheduled_events/e${id}`,
        start: `2026-12-${day}T10:00:00Z`,
        end: `2026-12-${day}T10:30:00Z`,
      },
    },
  };
}

const created = (id: string, old?: string) => fact({ id, ...(old === undefined ? {} : { old }) });
const moved = (id: string, next: string, old?: string) => fact({ id, next, ...(old === undefined ? {} : { old }) });
const canceled = (id: string, old?: string) => fact({ id, canceled: true, ...(old === undefined ? {} : { old }) });

/** Folds the facts one by one, as a worker does, and gives what was published on the way. */
function play(facts: readonly InviteeFact[], start: Booking = emptyBooking("A")) {
  let booking = start;
  const outcomes = facts.flatMap((item) => {
    const merge = mergeFact(booking, item);
    if (merge.kind === "malformed") throw new Error(merge.why);
    const published = publish(merge.booking, TELLING);
    booking = published.booking;
    return published.outcomes;
  });
  return { booking, outcomes };
}

const logOf = (facts: readonly InviteeFact[]) =>
  play(facts).outcomes.map(({ id, subject, time, data }) => {
    if (!("booking" in data && "sequence" in data.booking)) throw new TypeError(`${id} tells of no booking`);
    return [id, subject, time, data.booking.status, data.booking.sequence];
  });

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) =>
    permutations(items.filter((_, other) => other !== index)).map((rest) => [item, ...rest]),
  );
}

const CONFIRMED = ["A.confirmed", "A", "2026-11-01T08:00:00Z", "active", 1];

describe("the outcomes of a booking", () => {
  test("that is made: confirmed, at the time the invitee was created", () => {
    expect(logOf([created("A")])).toEqual([CONFIRMED]);
  });

  test("that is made and canceled: confirmed, then canceled at the time of the cancellation", () => {
    expect(logOf([created("A"), canceled("A")])).toEqual([
      CONFIRMED,
      ["A.canceled", "A", "2026-11-01T11:59:59Z", "canceled", 2],
    ]);
  });

  test("that is only seen canceled: the same two", () => {
    expect(logOf([canceled("A")])).toEqual(logOf([created("A"), canceled("A")]));
  });

  test("that is moved: one rescheduled that says where it was before, and no cancellation", () => {
    const { outcomes } = play([created("A"), moved("A", "B"), created("B", "A")]);
    expect(outcomes.map(({ id, type }) => [id, type])).toEqual([
      ["A.confirmed", "booking.confirmed"],
      ["B.rescheduled", "booking.rescheduled"],
    ]);
    expect(outcomes[1]).toMatchObject({
      subject: "A",
      time: "2026-11-02T08:00:00Z",
      data: {
        booking: { id: "A", status: "active", sequence: 2, start: "2026-12-02T10:00:00Z" },
        previous: { start: "2026-12-01T10:00:00Z", inviteeUri: "https://x/scheduled_events/eA/invitees/A" },
        origin: "webhook",
      },
    });
  });

  test("wait at an invitee who is named but not known", () => {
    expect(logOf([created("A"), moved("A", "B"), moved("C", "D", "B")])).toEqual([CONFIRMED]);
  });

  test("are nothing while only a later invitee is known", () => {
    expect(logOf([created("B", "A")])).toEqual([]);
  });

  test("of the canceled last of a chain are canceled once", () => {
    const ids = logOf([created("A"), moved("A", "B"), created("B", "A"), canceled("B", "A")]).map(([id]) => id);
    expect(ids).toEqual(["A.confirmed", "B.rescheduled", "B.canceled"]);
  });
});

describe("whatever the order and however often facts come", () => {
  test.each([
    [
      "a chain of three, canceled in the end",
      [created("A"), moved("A", "B"), created("B", "A"), moved("B", "C", "A"), created("C", "B"), canceled("C", "B")],
    ],
    ["a reschedule", [created("A"), moved("A", "B"), created("B", "A")]],
  ])("%s gives the same log", (_, facts) => {
    const expected = logOf(facts);
    expect(expected.length).toBeGreaterThan(1);
    for (const order of permutations(facts)) {
      expect(logOf(order)).toEqual(expected);
      expect(logOf([...order, ...order])).toEqual(expected);
    }
  });

  test("a repeat changes nothing that is stored", () => {
    const facts = [created("A"), moved("A", "B"), created("B", "A")];
    const { booking } = play(facts);
    const again = play(facts, JSON.parse(JSON.stringify(booking)));
    expect(JSON.stringify(again.booking)).toBe(JSON.stringify(booking));
    expect(again.outcomes).toEqual([]);
  });

  test("the newer value of a field wins, the greater one at the same time, and absent loses to present", () => {
    const versions = [
      fact({ id: "A", updatedAt: "2026-11-01T09:00:00Z", name: "Old" }),
      fact({ id: "A", updatedAt: "2026-11-01T09:00:00.5Z", name: "Bea" }),
      fact({ id: "A", updatedAt: "2026-11-01T09:00:00.5Z", name: "Ann" }),
      fact({ id: "A", updatedAt: "2026-11-01T09:00:01Z" }),
    ].map(knowledgeOf);
    const [first, ...rest] = permutations(versions).map((order) => JSON.stringify(order.reduce(mergeKnowledge)));
    expect(new Set(rest)).toEqual(new Set([first]));
    expect(first).toContain("Bea");
  });
});

describe("a truly canceled booking that turns out to have a successor", () => {
  test("is active again: nothing is retracted, rescheduled follows", () => {
    const log = logOf([created("A"), canceled("A"), created("B", "A")]);
    expect(log.map(([id, , , status, sequence]) => [id, status, sequence])).toEqual([
      ["A.confirmed", "active", 1],
      ["A.canceled", "canceled", 2],
      ["B.rescheduled", "active", 3],
    ]);
  });
});

describe("a fact that no chain can have", () => {
  const chain = play([created("A"), moved("A", "B"), created("B", "A")]).booking;
  test.each([
    ["self_link", moved("B", "B", "A")],
    ["self_link", created("B", "B")],
    ["second_successor", moved("A", "C")],
    ["second_successor", created("C", "A")],
    ["second_predecessor", created("B", "C")],
    ["cycle", moved("B", "A", "A")],
  ])("is malformed: %s", (why, item) => {
    expect(mergeFact(chain, item)).toEqual({ kind: "malformed", why });
  });

  test("is malformed when the chain gets longer than a hundred invitees", () => {
    const id = (index: number) => (index === 0 ? "A" : `A${index}`);
    let booking = emptyBooking("A");
    for (let index = 0; index < 99; index++) {
      const merge = mergeFact(booking, moved(id(index), id(index + 1), index === 0 ? undefined : id(index - 1)));
      if (merge.kind === "malformed") throw new Error(`at ${index}: ${merge.why}`);
      booking = merge.booking;
    }
    expect(mergeFact(booking, moved(id(99), id(100), id(98)))).toEqual({ kind: "malformed", why: "too_long" });
  });
});
