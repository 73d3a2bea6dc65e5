import { describe, expect, test } from "@jest/globals";
import { type Booking, emptyBooking, mergeFact } from "./booking.ts";
import type { InviteeFact } from "./facts.ts";
import { hear, isHistory } from "./history.ts";
import type { Telling } from "./outcome-data.ts";
import { type Outcome, publish, publishHistory } from "./outcomes.ts";

const BEGAN = Date.parse("2026-11-10T00:00:00Z");
const TELLING: Telling = {
  origin: "reconcile",
  referenceField: "utm_content",
  publishFrom: BEGAN,
};

interface Shape {
  readonly id: string;
  /** Day of November on which it was made. */
  readonly made: string;
  readonly canceled?: string;
  readonly old?: string;
  readonly next?: string;
}

const uri = (id: string) => `https://api.calendly.com/scheduled_events/E${id}/invitees/${id}`;

function fact({ id, made, canceled, old, next }: Shape): InviteeFact {
  const at = (day: string) => `2026-11-${day}T10:00:00.000000Z`;
  const updatedAt = at(canceled ?? made);
  const isCanceled = canceled !== undefined;
  return {
    kind: "invitee",
    identity: `${isCanceled ? "invitee.canceled" : "invitee.created"}/${id}`,
    inviteeId: id,
    canceled: isCanceled,
    rescheduled: next !== undefined,
    ...(old && { oldInvitee: { id: old, uri: uri(old) } }),
    ...(next && { newInvitee: { id: next, uri: uri(next) } }),
    noShow: { updatedAt, mark: null },
    invitee: {
      updatedAt,
      fields: {
        uri: uri(id),
        createdAt: at(made),
        ...(canceled && { cancellation: { by: null, byType: null, reason: null, at: at(canceled) } }),
      },
    },
    event: {
      updatedAt,
      fields: { uri: uri(id), start: "2026-12-01T10:00:00.000000Z", end: "2026-12-01T11:00:00.000000Z" },
    },
  };
}

function fold(booking: Booking, told: InviteeFact, isDelivered = false) {
  const merge = mergeFact(booking, told);
  if (merge.kind === "malformed") throw new Error(merge.why);
  return publish(isDelivered ? hear(merge.booking, told, told.identity, BEGAN) : merge.booking, TELLING);
}

const ids = (outcomes: readonly Outcome[]) => outcomes.map(({ id }) => id);
const A = fact({ id: "A", made: "01" });

describe("what happened before the installation began", () => {
  test("is known and told to nobody", () => {
    const { booking, outcomes } = fold(emptyBooking("A"), A);
    expect(outcomes).toEqual([]);
    expect(booking).toMatchObject({ published: ["A.confirmed"], quiet: ["A.confirmed"] });
    expect(isHistory(booking)).toBe(true);
  });

  test("does not keep what comes after from being told, with its place in the log", () => {
    const { booking } = fold(emptyBooking("A"), A);
    const canceled = fold(booking, fact({ id: "A", made: "01", canceled: "12" }));
    expect(canceled.outcomes).toMatchObject([{ id: "A.canceled", data: { booking: { sequence: 2 } } }]);
    // Also where the canceling is the first that is heard of it.
    expect(ids(fold(emptyBooking("A"), fact({ id: "A", made: "01", canceled: "12" })).outcomes)).toEqual([
      "A.canceled",
    ]);
  });

  test("is told where Calendly delivers it, whether it was known or not", () => {
    expect(ids(fold(emptyBooking("A"), A, true).outcomes)).toEqual(["A.confirmed"]);
    const known = fold(emptyBooking("A"), A).booking;
    const woken = fold(known, A, true);
    expect(ids(woken.outcomes)).toEqual(["A.confirmed"]);
    expect(woken.booking.quiet).toEqual([]);
    expect(fold(woken.booking, A, true).outcomes).toEqual([]);
  });

  test("is not told any more after what follows it has been told", () => {
    const { booking } = fold(emptyBooking("A"), fact({ id: "A", made: "01", canceled: "12" }));
    expect(fold(booking, A, true).outcomes).toEqual([]);
  });

  test("waits for its place in the chain though it was delivered", () => {
    const C = fact({ id: "C", made: "03", old: "B" });
    const B = fact({ id: "B", made: "02", old: "A", canceled: "03", next: "C" });
    const withC = fold(
      fold(emptyBooking("A"), fact({ id: "A", made: "01", canceled: "02", next: "B" })).booking,
      C,
      true,
    );
    expect(withC.outcomes).toEqual([]);
    expect(ids(fold(withC.booking, B).outcomes)).toEqual(["C.rescheduled"]);
  });
});

describe("a backfill", () => {
  const telling: Telling = { ...TELLING, historical: true };

  test("tells what is history, in order and marked, once", () => {
    const { booking } = fold(emptyBooking("A"), fact({ id: "A", made: "01", canceled: "02" }));
    const told = publishHistory(booking, telling);
    expect(told.outcomes).toMatchObject([
      { id: "A.confirmed", data: { historical: true, booking: { sequence: 1 } } },
      { id: "A.canceled", data: { historical: true, booking: { sequence: 2 } } },
    ]);
    expect(publishHistory(told.booking, telling).outcomes).toEqual([]);
    expect(fold(told.booking, A, true).outcomes).toEqual([]);
  });

  test("leaves alone a booking of which something was told", () => {
    const { booking } = fold(fold(emptyBooking("A"), A).booking, fact({ id: "A", made: "01", canceled: "12" }));
    expect(publishHistory(booking, telling).outcomes).toEqual([]);
  });
});
