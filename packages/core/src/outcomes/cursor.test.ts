import { expect, test } from "@jest/globals";
import { CursorInvalidError, compareStreamIds, justBefore, parseCursor, toCursor } from "./cursor.ts";

test("a cursor gives back the position that it was made of", () => {
  const position = ["1763900000000-0", "0-0", "1763900000001-18446744073709551615"];
  expect(parseCursor(toCursor(position), 3)).toEqual(position);
});

test.each(["", "x", toCursor(["1-0"]), toCursor(["1-0", "$"]), Buffer.from("{}").toString("base64url"), "🙂"])(
  "%p is none for two shards",
  (cursor) => {
    expect(() => parseCursor(cursor, 2)).toThrow(CursorInvalidError);
  },
);

test("stream ids compare as numbers, the largest too", () => {
  const sorted = ["0-0", "2-0", "10-9", "10-10", "10-18446744073709551615", "11-0"];
  expect(sorted.toReversed().toSorted(compareStreamIds)).toEqual(sorted);
  expect(compareStreamIds(justBefore(11), "11-0")).toBe(-1);
  expect(compareStreamIds(justBefore(11), "10-9")).toBe(1);
  expect(justBefore(0)).toBe("0-0");
});
