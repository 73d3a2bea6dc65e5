import { expect, test } from "@jest/globals";
import { retryDelay } from "./retry-delay.ts";

const RETRY = { firstDelayMs: 1_000, longestDelayMs: 60_000, jitter: 0.5 };

test("the delay doubles up to the longest one", () => {
  const delays = [1, 2, 3, 6, 7, 50].map((attempt) => retryDelay(RETRY, attempt, () => 0));
  expect(delays).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000]);
});

test("it is shortened at random, by the jitter at most", () => {
  expect(retryDelay(RETRY, 1, () => 0.5)).toBe(750);
  expect(retryDelay(RETRY, 1, () => 1)).toBe(500);
});
