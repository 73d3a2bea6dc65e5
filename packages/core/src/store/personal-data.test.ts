import { expect, test } from "@jest/globals";
import { mentions, redact, redactDelivery } from "./personal-data.ts";

const ANN = "ann@x.example";

/** What is left of a text, and whether the text is found: as text, and as a value of JSON. */
function erased(text: string, email = ANN): string {
  const left = redact({ text }, email).text;
  const isFound = left !== text;
  expect([text, mentions(JSON.stringify({ text }), email)]).toEqual([text, isFound]);
  return left;
}

test.each([
  ["ann@x.example", "[erased]"],
  ["Ann@X.Example", "[erased]"],
  ["Ann <ann@x.example>", "Ann <[erased]>"],
  ["It is ann@x.example.", "It is [erased]."],
  ["ann@x.example, bob@x.example", "[erased], bob@x.example"],
  ["bob@x.example;ann@x.example;", "bob@x.example;[erased];"],
  ["'ann@x.example'", "'[erased]'"],
  ["**ann@x.example**", "**[erased]**"],
  ["-ann@x.example\n-bob@x.example", "-[erased]\n-bob@x.example"],
  ["ann@x.example's calendar", "[erased]'s calendar"],
  ["Guests:\nann@x.example\n", "Guests:\n[erased]\n"],
  ["Guests:\tann@x.example\\", "Guests:\t[erased]\\"],
  ['"ann@x.example"', '"[erased]"'],
  ["mailto:ann@x.example?subject=Hi", "mailto:[erased]?subject=Hi"],
  ["https://x.example/?email=ann@x.example&a=b", "https://x.example/?email=[erased]&a=b"],
  ["https://x.example/u/ann@x.example/", "https://x.example/u/[erased]/"],
  // As URLs write it.
  ["https://x.example/?email=ann%40x.example", "https://x.example/?email=[erased]"],
  ["https://x.example/?to=Ann%20%3Cann%40X.example%3E", "https://x.example/?to=Ann%20%3C[erased]%3E"],
  ["https://x.example/?note=by%20ann@x.example%0A", "https://x.example/?note=by%20[erased]%0A"],
  ["https://x.example/?next=%2F%3Femail%3Dann%40x.example%26a", "https://x.example/?next=%2F%3Femail%3D[erased]%26a"],
  // Where no spaces part words.
  ["連絡先はann@x.exampleです", "連絡先は[erased]です"],
  ["ann@x.example으로", "[erased]으로"],
])("an address is erased where it stands alone: %j", (text, left) => {
  expect(erased(text)).toBe(left);
});

test.each([
  "joann@x.example",
  "jo.ann@x.example",
  "jo-ann@x.example",
  "jo_ann@x.example",
  "jo+ann@x.example",
  "jo--ann@x.example",
  "o'ann@x.example",
  "r&ann@x.example",
  "_ann@x.example",
  "7ann@x.example",
  "JOANN@X.EXAMPLE",
  "joséann@x.example",
  "jose\u0301ann@x.example",
  "ann@x.example.org",
  "ann@x.example.org.",
  "ann@x.examples",
  "ann@x.example7",
  "ann@x.example-shop.org",
  "ann@x.example--shop.org",
  "ann@x.exampleé",
  "ann@xyexample",
  "https://x.example/?email=joann%40x.example",
  "https://x.example/?email=jo%2Bann%40x.example",
  "https://x.example/?email=jo.ann@x.example",
  "https://x.example/?email=ann%40x.example.org",
])("the address of somebody else is left alone: %j", (text) => {
  expect(erased(text)).toBe(text);
});

test("an address may have whatever addresses have, in any alphabet", () => {
  expect(erased("jo+ann@x.example, ann@x.example", "jo+ann@x.example")).toBe("[erased], ann@x.example");
  expect(erased("https://x.example/?email=jo%2bann%40x.example", "jo+ann@x.example")).toMatch(/=\[erased\]$/);
  expect(erased("o'neil@x.example", "o'neil@x.example")).toBe("[erased]");
  expect(erased("a/b=c{d}|*?^$~!#`%&@x.example", "a/b=c{d}|*?^$~!#`%&@x.example")).toBe("[erased]");
  expect(erased("Анна@почта.рф, жанна@почта.рф", "анна@почта.рф")).toBe("[erased], жанна@почта.рф");
  expect(erased("https://x.example/?email=m%C3%BCller@x.example", "müller@x.example")).toMatch(/=\[erased\]$/);
});

test("an address is found in any JSON, and in what has ceased to be JSON", () => {
  expect(mentions(String.raw`{"email":"\u0061nn\u0040x.example"}`, ANN)).toBe(true);
  expect(mentions(String.raw`{"email":"jo\u0061nn\u0040x.example"}`, ANN)).toBe(false);
  expect(mentions(String.raw`{"email":"ann@x.example\u002eorg"}`, ANN)).toBe(false);
  expect(mentions(String.raw`{"answer":"\u003cann@x.example\u003e"}`, ANN)).toBe(true);
  expect(mentions(String.raw`{"answer":"Guests:\nann@x.example`, ANN)).toBe(true);
  expect(mentions(String.raw`{"answer":"Guests:\njoann@x.example`, ANN)).toBe(false);
  expect(mentions(`{"ann@x.example":1}`, ANN)).toBe(true);
});

test("long rows of what an address may hold are no work", () => {
  const begin = performance.now();
  for (const row of [".", "-", "a", "%", "\\", "ann", "ann@"]) expect(mentions(row.repeat(300_000), ANN)).toBe(false);
  expect(performance.now() - begin).toBeLessThan(10_000);
});

test("whoever is erased leaves lists of guests, and nobody else does", () => {
  const guests = { guests: [["joann@x.example", "ann@x.example", "ann@x.example.org"], "2030-01-01T00:00:00Z"] };
  expect(redact(guests, ANN)).toEqual({ guests: [["joann@x.example", "ann@x.example.org"], "2030-01-01T00:00:00Z"] });
  expect(redact({ guests: [["ann@x.example"], "2030-01-01T00:00:00Z"] }, ANN).guests[0]).toEqual([]);
});

test("a field that is nothing but the address keeps its place beside the time that it is from", () => {
  const name = ["Ann@x.example", "2030-01-01T00:00:00Z"];
  expect(redact({ invitee: { name } }, ANN)).toEqual({ invitee: { name: ["[erased]", "2030-01-01T00:00:00Z"] } });
});

test("the name of a field is struck out as a value is", () => {
  expect(redact({ tracking: { "to ann@x.example": 1, utm_source: null } }, ANN)).toEqual({
    tracking: { "to [erased]": 1, utm_source: null },
  });
});

test("a delivery about somebody else keeps all but the address, and one that may be about the person is not kept", () => {
  const uri = "https://api.calendly.com/scheduled_events/E1/invitees/I1";
  const guests = [{ email: "Ann@x.example", created_at: "2030-01-01T00:00:00Z" }, { email: "joann@x.example" }];
  const about = (email: string | null) => ({ payload: { uri, email, scheduled_event: { event_guests: guests } } });
  expect(redactDelivery(about("bob@x.example"), ANN)).toEqual({
    payload: { uri, email: "bob@x.example", scheduled_event: { event_guests: [{ email: "joann@x.example" }] } },
  });
  for (const body of [about("ANN@x.example"), about(null), { payload: null }, "ann@x.example", undefined])
    expect(redactDelivery(body, ANN)).toBeUndefined();
});
