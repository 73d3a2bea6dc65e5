import { describe, expect, test } from "@jest/globals";
import { localTime } from "./local-time.ts";

describe("an instant in the invitee's zone", () => {
  test.each([
    ["America/New_York", "2026-12-03T19:00:00.000000Z", "2026-12-03T14:00:00-05:00"],
    ["America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T01:30:00-04:00"],
    ["America/New_York", "2026-11-01T06:30:00Z", "2026-11-01T01:30:00-05:00"],
    ["America/New_York", "2026-03-08T07:00:00Z", "2026-03-08T03:00:00-04:00"],
    ["Europe/Berlin", "2026-12-31T23:30:00Z", "2027-01-01T00:30:00+01:00"],
    ["Asia/Calcutta", "2026-12-03T19:00:00Z", "2026-12-04T00:30:00+05:30"],
    ["Asia/Kathmandu", "2026-12-03T18:15:00Z", "2026-12-04T00:00:00+05:45"],
    ["Australia/Lord_Howe", "2026-12-03T13:00:00Z", "2026-12-04T00:00:00+11:00"],
    ["Australia/Lord_Howe", "2026-06-03T13:30:00Z", "2026-06-04T00:00:00+10:30"],
    ["Pacific/Kiritimati", "2026-12-31T10:00:00Z", "2027-01-01T00:00:00+14:00"],
    ["UTC", "2026-12-03T00:00:00Z", "2026-12-03T00:00:00+00:00"],
    ["Europe/London", "2026-12-03T09:00:00Z", "2026-12-03T09:00:00+00:00"],
  ])("%s at %s is %s", (zone, instant, local) => {
    expect(localTime(instant, zone)).toBe(local);
    expect(Date.parse(local)).toBe(Date.parse(instant));
  });

  test.each([[undefined], ["Mars/Olympus_Mons"], [""]])("is null in the zone %s", (zone) => {
    expect(localTime("2026-12-03T19:00:00Z", zone)).toBeNull();
  });
});
