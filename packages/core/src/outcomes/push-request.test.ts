import { expect, test } from "@jest/globals";
import { parseRetryAfter } from "./push-request.ts";

const NOW = Date.parse("2026-11-23T14:00:00Z");

test.each([
  ["120", 120_000],
  [" 5 ", 5_000],
  ["Mon, 23 Nov 2026 14:01:00 GMT", 60_000],
  ["Mon, 23 Nov 2026 13:00:00 GMT", undefined],
  ["0", undefined],
  ["soon", undefined],
  ["-5", undefined],
  [undefined, undefined],
])("Retry-After: %p is %p ms", (header, expected) => {
  expect(parseRetryAfter(header, NOW)).toBe(expected);
});
