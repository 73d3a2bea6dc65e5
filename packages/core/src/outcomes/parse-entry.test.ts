import { expect, test } from "@jest/globals";
import { parseEntry } from "./parse-entry.ts";

test("an outcome is read whatever its subject is called: services choose the references of their expectations", () => {
  for (const subject of ["event", "id", "type", "subject"]) {
    const fields = ["id", `${subject}.expired`, "type", "booking.expectation_expired", "subject", subject];
    const entry = [...fields, "event", JSON.stringify({ subject })];
    expect(parseEntry(["1-0", entry])).toEqual({ streamId: "1-0", event: { subject } });
  }
});

test("an entry without an outcome is named", () => {
  expect(() => parseEntry(["1-0", ["id", "event"]])).toThrow('the outcome 1-0 has no field "event"');
});
