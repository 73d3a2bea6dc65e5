import { getEventListeners, once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { endingWith } from "./ending.ts";

describe("an ending", () => {
  let stop: AbortController;
  let other: AbortController;

  beforeEach(() => {
    stop = new AbortController();
    other = new AbortController();
  });

  afterEach(() => {
    expect([stop, other].flatMap(({ signal }) => getEventListeners(signal, "abort"))).toEqual([]);
  });

  test("comes with the first of the signals, and bears its reason", () => {
    using ending = endingWith([stop.signal, other.signal], 60_000);
    expect(ending.signal.aborted).toBe(false);
    other.abort("the other one");
    stop.abort("too late");
    expect([ending.signal.aborted, ending.signal.reason, ending.isTimeUp()]).toEqual([true, "the other one", false]);
  });

  test("has come where a signal has aborted before", () => {
    stop.abort("long ago");
    using ending = endingWith([other.signal, stop.signal], 60_000);
    expect([ending.signal.aborted, ending.signal.reason]).toEqual([true, "long ago"]);
  });

  test("comes when the time is up", async () => {
    using ending = endingWith([stop.signal], 5);
    // The timer holds up nobody who has nothing else to do.
    const alive = setInterval(() => {}, 1_000);
    await once(ending.signal, "abort");
    clearInterval(alive);
    expect([ending.isTimeUp(), ending.signal.reason.name]).toEqual([true, "TimeoutError"]);
  });

  test("never comes once it is disposed of, and leaves nothing with the signals", () => {
    const ending = endingWith([stop.signal, other.signal], 60_000);
    expect(getEventListeners(stop.signal, "abort")).toHaveLength(1);
    ending[Symbol.dispose]();
    stop.abort();
    expect([ending.signal.aborted, ending.isTimeUp()]).toEqual([false, false]);
  });
});
