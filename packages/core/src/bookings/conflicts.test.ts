import { describe, expect, test } from "@jest/globals";
import { conflictOf, followPair, NOTHING_TOLD, type TakenTime } from "./conflicts.ts";

const hour = (time: string) => `2030-01-02T${time}:00.000000Z`;

function taken(bookingId: string, from: string, to: string, hosts = ["h1"], more: Partial<TakenTime> = {}): TakenTime {
  const [start, end] = [hour(from), hour(to)];
  return {
    bookingId,
    version: 1,
    eventUri: `event of ${bookingId}`,
    inviteeUri: `invitee of ${bookingId}`,
    since: "2030-01-01T00:00:00Z",
    start,
    end,
    busy: Object.fromEntries(hosts.map((host) => [host, { start, end }])),
    ...more,
  };
}

describe("two bookings of one host", () => {
  test.each([
    ["one within the other", taken("B", "10:10", "10:20"), "10:10", "10:20"],
    ["one after the other's begin", taken("B", "10:20", "11:00"), "10:20", "10:30"],
    ["at the same time", taken("B", "10:00", "10:30"), "10:00", "10:30"],
  ])("conflict: %s", (_, other, from, to) => {
    const conflict = conflictOf("h1", taken("A", "10:00", "10:30"), other);
    expect(conflict).toMatchObject({
      pair: "A+B",
      data: { host: "h1", overlap: { start: hour(from), end: hour(to) } },
    });
    expect(conflictOf("h1", other, taken("A", "10:00", "10:30"))).toEqual(conflict);
  });

  test.each([
    ["one ends when the other begins", taken("B", "10:30", "11:00")],
    ["they are of different hosts", taken("B", "10:00", "10:30", ["h2"])],
    ["they share one event", taken("B", "10:00", "10:30", ["h1"], { eventUri: "event of A" })],
  ])("do not when %s", (_, other) => {
    expect(conflictOf("h1", taken("A", "10:00", "10:30"), other)).toBeUndefined();
  });

  test("conflict by their buffer times, where these are known", () => {
    const buffered = { start: hour("10:20"), end: hour("11:10") };
    const other = taken("B", "10:30", "11:00", ["h1"], { busy: { h1: buffered } });
    const conflict = conflictOf("h1", taken("A", "10:00", "10:30"), other);
    expect(conflict?.data).toMatchObject({
      overlap: { start: hour("10:20"), end: hour("10:30") },
      bookings: [{ id: "A" }, { id: "B", start: hour("10:30") }],
    });
  });

  test("with several hosts in common are told of by one of them", () => {
    const [a, b] = [taken("A", "10:00", "11:00", ["h3", "h1", "h2"]), taken("B", "10:30", "11:30", ["h2", "h3"])];
    expect(["h1", "h2", "h3"].filter((host) => conflictOf(host, a, b) !== undefined)).toEqual(["h2"]);
  });
});

describe("what is told of a pair", () => {
  const of = {
    since: "since",
    until: "until",
    alternatives: null,
    origin: "webhook",
    publishFrom: 0,
  } as const;
  const at = (from: string) => conflictOf("h1", taken("A", from, "12:00"), taken("B", from, "12:00"));
  const told = (
    state: Parameters<typeof followPair>[0],
    now: Parameters<typeof followPair>[1],
    toldByOthers: readonly string[] = [],
  ) => {
    const next = followPair(state, now, { ...of, toldByOthers });
    return { ...next, ids: next.outcomes.map(({ id, time }) => [id.replace("2030-01-02T", ""), time]) };
  };

  test("is each conflict once, its end once, and the next one under a name of its own", () => {
    const first = told(NOTHING_TOLD, at("10:00"));
    expect(first.ids).toEqual([["A+B.conflict.10:00:00.000000Z.detected", "since"]]);
    expect(told(first.state, at("10:00")).ids).toEqual([]);
    const moved = told(first.state, at("11:00"));
    expect(moved.ids).toEqual([
      ["A+B.conflict.10:00:00.000000Z.resolved", "until"],
      ["A+B.conflict.11:00:00.000000Z.detected", "since"],
    ]);
    const over = told(moved.state, undefined);
    expect(over.ids).toEqual([["A+B.conflict.11:00:00.000000Z.resolved", "until"]]);
    expect(told(over.state, undefined).ids).toEqual([]);
    expect(told(over.state, at("10:00")).ids).toEqual([["A+B.conflict.10:00:00.000000Z.2.detected", "since"]]);
  });

  test("has a name of its own where another host has told of them, then and ever after", () => {
    const other = told(NOTHING_TOLD, at("10:00"));
    const passedOn = told(NOTHING_TOLD, at("10:00"), other.state.told);
    expect(passedOn.ids).toEqual([["A+B.conflict.10:00:00.000000Z.2.detected", "since"]]);
    const over = told(passedOn.state, undefined);
    expect(over.ids).toEqual([["A+B.conflict.10:00:00.000000Z.2.resolved", "until"]]);
    expect(told(over.state, at("10:00")).ids).toEqual([["A+B.conflict.10:00:00.000000Z.3.detected", "since"]]);
  });
});
