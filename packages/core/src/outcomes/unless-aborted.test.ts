import { getEventListeners } from "node:events";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { unlessAborted } from "./unless-aborted.ts";

let stop: AbortController;
const listeners = () => getEventListeners(stop.signal, "abort").length;

beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => {
  expect(listeners()).toBe(0);
});

test("gives what was waited for, and leaves nothing with the signal, however often", async () => {
  for (let round = 0; round < 3; round += 1) {
    const waiting = unlessAborted(stop.signal, Promise.resolve(round));
    expect(listeners()).toBe(1);
    expect(await waiting).toBe(round);
    expect(listeners()).toBe(0);
  }
});

test("rejects with what was waited for", async () => {
  await expect(unlessAborted(stop.signal, Promise.reject(new Error("no")))).rejects.toThrow("no");
});

test("ends with the signal, and what fails later is nobody's unhandled rejection", async () => {
  const { promise, reject } = Promise.withResolvers<string>();
  const waiting = unlessAborted(stop.signal, promise);
  stop.abort();
  expect(await waiting).toBeUndefined();
  reject(new Error("too late"));
});

test("does not wait where the signal has aborted before", async () => {
  stop.abort();
  expect(await unlessAborted(stop.signal, new Promise(() => {}))).toBeUndefined();
});
