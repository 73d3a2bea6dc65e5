import { describe, expect, test } from "@jest/globals";
import { type Account, createAccount, type Happening } from "./account.ts";
import { createCatalog } from "./catalog.ts";
import { LATER, PRIYA, START } from "./harness.ts";
import { createRandom } from "./random.ts";
import { createStamp } from "./timestamps.ts";

const BASE = "https://api.calendly.com";
const NOON = Date.parse("2029-12-31T12:00:00Z");

function accountOf(seed: number, now = () => NOON): { account: Account; told: Happening[] } {
  const told: Happening[] = [];
  const random = createRandom(seed);
  const account = createAccount({
    catalog: createCatalog(random, BASE),
    random,
    baseUrl: BASE,
    now,
    stamp: createStamp(now, createRandom(seed + 1)),
    tell: (happening) => told.push(happening),
  });
  return { account, told };
}

function story(account: Account): void {
  account.submitRoutingForm([{ question: "Team size", answer: "1" }], "intro");
  const { id } = account.book({ ...PRIYA, eventType: "sales-call" });
  account.markNoShow(id);
  account.clearNoShow(id);
  account.cancel(account.reschedule(id, LATER).id, "host");
}

test("the same seed and the same acts give the same ids, another seed others", () => {
  const run = (seed: number) => {
    const { account, told } = accountOf(seed);
    story(account);
    return told;
  };
  expect(run(5)).toEqual(run(5));
  const uris = (told: Happening[]) => told.map(({ payload }) => payload["uri"]);
  for (const uri of uris(run(6))) expect(uris(run(5))).not.toContain(uri);
});

test("ids are lower-case UUIDs", () => {
  const { account } = accountOf(5);
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const invitee = account.book(PRIYA);
  expect([invitee.id, invitee.event.id]).toEqual([expect.stringMatching(uuid), expect.stringMatching(uuid)]);
  expect(invitee.uri).toBe(`${BASE}/scheduled_events/${invitee.event.id}/invitees/${invitee.id}`);
});

test("timestamps have six digits and never stand still, even when time does", () => {
  const { account, told } = accountOf(5);
  story(account);
  const times = told.flatMap(({ payload }) => [payload["created_at"], payload["updated_at"]].map(String));
  for (const time of times) expect(time).toMatch(/^2029-12-31T12:00:\d\d\.\d{6}Z$/);
  const updates = told.slice(1).map(({ payload }) => String(payload["updated_at"]));
  const [created, noShow, cleared, oldHalf, newHalf, canceled] = updates;
  // The new booking exists before the old one is given up.
  const inOrder = [created, noShow, cleared, newHalf, oldHalf, canceled];
  expect(inOrder).toEqual([...new Set(inOrder)].toSorted());
});

test("the history keeps each fact as it was, in order", () => {
  const { account, told } = accountOf(5);
  story(account);
  expect(account.history()).toEqual(told);
  const shown = told.map(({ event, payload }) => [event, payload["status"], payload["no_show"] != null]);
  expect(shown).toEqual([
    ["routing_form_submission.created", undefined, false],
    ["invitee.created", "active", false],
    ["invitee_no_show.created", "active", true],
    ["invitee_no_show.deleted", "active", false],
    ["invitee.canceled", "canceled", false],
    ["invitee.created", "active", false],
    ["invitee.canceled", "canceled", false],
  ]);
});

describe("hosts", () => {
  const namesAt = (eventType: string, host?: string) => {
    const booking = { ...PRIYA, eventType, ...(host === undefined ? {} : { host }) };
    return accountOf(5)
      .account.book(booking)
      .event.hosts.map(({ slug }) => slug);
  };

  test("are all of a collective, one of a round robin, and the one who was asked for", () => {
    expect(namesAt("panel")).toEqual(["mara.lindqvist", "deji.okafor", "sol.herrera"]);
    expect(namesAt("sales-call")).toHaveLength(1);
    expect(namesAt("sales-call", "sol.herrera")).toEqual(["sol.herrera"]);
    expect(namesAt("sales-call", "Deji Okafor")).toEqual(["deji.okafor"]);
  });

  test("can be booked twice at one time, so that conflicts can be made", () => {
    const { account } = accountOf(5);
    const [one, two] = [account.book(PRIYA), account.book(PRIYA)];
    expect(one.event.uri).not.toBe(two.event.uri);
    expect(one.event.hosts).toEqual(two.event.hosts);
  });
});

describe("what cannot be is refused with a sentence", () => {
  const { account } = accountOf(5);
  const { id } = account.book(PRIYA);
  const guest = account.book({ ...PRIYA, eventType: "webinar" });
  test.each<[string, () => unknown, string]>([
    [
      "an event type",
      () => account.book({ ...PRIYA, eventType: "dinner" }),
      'there is no event type "dinner"; there are',
    ],
    [
      "a time",
      () => account.book({ ...PRIYA, start: "tomorrow" }),
      'expected start as an ISO 8601 time, got "tomorrow"',
    ],
    [
      "a host",
      () => account.book({ ...PRIYA, host: "mara.lindqvist" }),
      "is no host of intro; its hosts are deji.okafor",
    ],
    ["an invitee", () => account.cancel("nobody"), 'there is no invitee "nobody"'],
    ["an event", () => account.cancelEvent("none"), 'there is no event "none"'],
    ["a mark to clear", () => account.clearNoShow(id), "is not marked as a no-show"],
    ["a move to the same group", () => account.reschedule(guest.id, START), "is in the event at"],
  ])("%s", (_, act, sentence) => {
    const before = account.history().length;
    expect(act).toThrow(sentence);
    expect(account.history()).toHaveLength(before);
  });

  test("acts on what is over, seats that are taken, types that are closed", () => {
    const { account } = accountOf(5);
    const invitee = account.book(PRIYA);
    account.markNoShow(invitee.id);
    expect(() => account.markNoShow(invitee.id)).toThrow("marked as a no-show already");
    account.cancel(invitee.id);
    expect(() => account.cancel(invitee.id)).toThrow("is canceled already");
    expect(() => account.cancelEvent(invitee.event.id)).toThrow("is canceled already");
    for (let seat = 1; seat <= 50; seat++) account.book({ ...PRIYA, eventType: "webinar", name: `Guest ${seat}` });
    expect(() => account.book({ ...PRIYA, eventType: "webinar" })).toThrow("is full: it takes 50");
    account.updateEventType("intro", { active: false });
    expect(() => account.book(PRIYA)).toThrow('the event type "intro" is not active');
  });
});
