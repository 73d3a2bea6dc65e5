import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { Invitee } from "../simulator/meetings.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type StackWithCalendly, startStackWithCalendly } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** An event type that another installation handles. */
const ELSEWHERE = "https://api.calendly.com/event_types/elsewhere";

let server: RedisServer;
let stack: StackWithCalendly;
let day = 0;

beforeAll(async () => {
  server = await startRedis();
  stack = await startStackWithCalendly(server.url, 4101, {
    CALENDLY_MISSING_HALF_GRACE: "1",
    CALENDLY_CONFERENCE_LINK_INTERVAL: "1",
    CALENDLY_EVENT_TYPES_EXCLUDE: ELSEWHERE,
  });
});

afterAll(async () => {
  await stack?.stop();
  await server?.stop();
});

// Each test has a day of its own, so that nobody's hosts are booked twice by another.
beforeEach(() => {
  day += 1;
});

const at = (time: string) => `2030-01-${String(day).padStart(2, "0")}T${time}:00Z`;
const priya = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
const book = (eventType: string, time = "15:00", more: object = {}) =>
  stack.simulator.account.book({ ...priya, eventType, start: at(time), ...more });
const move = (invitee: Invitee, time: string) => stack.simulator.account.reschedule(invitee.id, at(time));

async function told(...ids: string[]): Promise<OutcomeEvent[]> {
  const events = await stack.outcomes.untilThere(ids);
  return ids.flatMap((id) => events.filter((event) => event.id === id));
}

const logOf = async ({ id }: Invitee) =>
  (await stack.outcomes.all()).filter(({ subject }) => subject === id).map((event) => event.id);

describe("a half that is never delivered", () => {
  test("is asked for at once when it is the old one, back to the first of the chain", async () => {
    const first = book("intro");
    const second = move(first, "16:00");
    const third = move(second, "17:00");
    await stack.deliver(third, "invitee.created");
    await told(`${third.id}.rescheduled`);
    expect(await logOf(first)).toEqual([
      `${first.id}.confirmed`,
      `${second.id}.rescheduled`,
      `${third.id}.rescheduled`,
    ]);
    const [confirmed, rescheduled] = await told(`${first.id}.confirmed`, `${third.id}.rescheduled`);
    expect(confirmed).toMatchObject({ data: { origin: "reconcile", booking: { start: first.event.start } } });
    expect(rescheduled).toMatchObject({ data: { previous: { inviteeUri: second.uri, start: second.event.start } } });
    await until("nothing waits any more", async () => {
      const waiting = await stack.redis.exists(`{calendly:0}:waiting:${second.id}`, `{calendly:0}:waiting:${first.id}`);
      const unfinished = await stack.redis.zmscore("{calendly:0}:unfinished", first.id, second.id);
      return waiting === 0 && unfinished.every((score) => score === null);
    });
  });

  test("is asked for after a while when it is the new one", async () => {
    const first = book("intro");
    const second = move(first, "16:00");
    await stack.deliver(first, "invitee.canceled");
    await told(`${second.id}.rescheduled`);
    expect(await logOf(first)).toEqual([`${first.id}.confirmed`, `${second.id}.rescheduled`]);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", first.id)).toBeNull();
  });

  test("of somebody whom Calendly no longer knows is passed over", async () => {
    const first = book("intro");
    const second = move(first, "16:00");
    const third = move(second, "17:00");
    stack.simulator.account.forget(first.id);
    await stack.deliver(third, "invitee.created");
    const [rescheduled] = await told(`${second.id}.rescheduled`, `${third.id}.rescheduled`);
    expect(rescheduled).toMatchObject({ subject: first.id, data: { previous: null, booking: { sequence: 1 } } });
    // Whoever was passed over has no outcome any more: it would come after those of the successors.
    await stack.deliver(first, "invitee.created");
    await stack.deliver(third, "invitee.created");
    expect(await logOf(first)).toEqual([`${second.id}.rescheduled`, `${third.id}.rescheduled`]);
  });

  test("waits while Calendly's API is away, and comes when it is back", async () => {
    stack.simulator.setFaults({ api: "down" });
    const first = book("intro");
    const second = move(first, "16:00");
    await stack.deliver(second, "invitee.created");
    await stack.worker.untilLogged("job failed");
    expect(await logOf(first)).toEqual([]);
    stack.simulator.setFaults({ api: "well" });
    await told(`${first.id}.confirmed`, `${second.id}.rescheduled`);
  });
});

describe("a half that Calendly tells of, and that is not taken up", () => {
  const markErased = ({ id }: Invitee) => stack.redis.set(`{calendly:0}:erased:${id}`, String(Date.now()));
  const untilListed = (id: string) =>
    until("it is listed", () =>
      stack.worker.logs.find((line) => line.msg === "listed as incomplete" && line["incomplete"] === id),
    );

  test.each([
    ["erased", markErased],
    ["out_of_scope", ({ event }: Invitee) => Object.assign(event, { type: { ...event.type, uri: ELSEWHERE } })],
    ["past_retention", ({ event }: Invitee) => Object.assign(event, { end: "2020-01-01T00:00:00.000000Z" })],
    ["quarantined", (second: Invitee) => Object.assign(second, { old: second })],
  ])("is listed at once when it is the new one and is %s", async (result, spoil) => {
    // Nobody is told of before all is as it should be.
    stack.simulator.setFaults({ api: "down" });
    const first = book("intro");
    const second = move(first, "16:00");
    await stack.deliver(first, "invitee.canceled");
    await spoil(second);
    stack.simulator.setFaults({ api: "well" });
    expect(await untilListed(first.id)).toMatchObject({ inviteeId: second.id, result });
    expect(await stack.redis.zscore("{calendly:0}:incomplete", first.id)).not.toBeNull();
    expect(await logOf(first)).toEqual([`${first.id}.confirmed`]);
  });

  test("is listed when somebody waits for it, and it was erased meanwhile", async () => {
    stack.simulator.setFaults({ api: "down" });
    const first = book("intro");
    const second = move(first, "16:00");
    await stack.deliver(second, "invitee.created");
    await markErased(first);
    stack.simulator.setFaults({ api: "well" });
    expect(await untilListed(first.id)).toMatchObject({ inviteeId: first.id, result: "erased" });
    expect(await stack.redis.zscore("{calendly:0}:incomplete", first.id)).not.toBeNull();
  });
});

describe("a booking that was moved far away", () => {
  const DAY_MS = 86_400_000;
  const daysFromNow = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString();

  test("stays one when an invitee in its midst is older than anything that is kept", async () => {
    const { account } = stack.simulator;
    const first = account.book({ ...priya, eventType: "intro", start: daysFromNow(-200) });
    const second = account.reschedule(first.id, daysFromNow(-150));
    const third = account.reschedule(second.id, daysFromNow(1));
    for (const invitee of [first, second, third]) await stack.deliver(invitee);
    await told(`${third.id}.rescheduled`);
    const keptUntil = await stack.redis.pexpiretime(`{calendly:0}:booking:${first.id}`);
    expect(keptUntil).toBe(Date.parse(third.event.end) + 90 * DAY_MS);
    const entries = [first, second, third].map(({ id }) => `{calendly:0}:index:${id}`);
    // What does not last as long is gone by then.
    for (const entry of entries) if ((await stack.redis.pexpiretime(entry)) < keptUntil) await stack.redis.del(entry);

    account.cancel(third.id);
    await stack.deliver(third, "invitee.canceled");
    const [canceled] = await told(`${third.id}.canceled`);
    expect(canceled).toMatchObject({ subject: first.id, data: { booking: { sequence: 4 } } });
    expect(await stack.redis.exists(...entries)).toBe(3);
  });
});

describe("a no-show", () => {
  test("is told when it is marked and when that is taken back", async () => {
    const invitee = book("intro");
    stack.simulator.account.markNoShow(invitee.id);
    const markedAt = invitee.noShow?.created_at;
    stack.simulator.account.clearNoShow(invitee.id);
    await stack.deliver(invitee, "invitee_no_show.created");
    const [confirmed, marked] = await told(`${invitee.id}.confirmed`, `${invitee.id}.no_show.${markedAt}`);
    expect(confirmed).toMatchObject({ type: "booking.confirmed", data: { booking: { sequence: 1 } } });
    expect(marked).toMatchObject({
      type: "booking.no_show",
      time: markedAt,
      data: { booking: { status: "active", sequence: 1, noShow: { at: markedAt } } },
    });
    await stack.deliver(invitee, "invitee_no_show.deleted");
    const [cleared] = await told(`${invitee.id}.no_show_cleared.${markedAt}`);
    expect(cleared).toMatchObject({ type: "booking.no_show_cleared", data: { booking: { noShow: null } } });
  });

  test("that was taken back before it was heard of is none", async () => {
    const invitee = book("intro");
    stack.simulator.account.markNoShow(invitee.id);
    stack.simulator.account.clearNoShow(invitee.id);
    await stack.deliver(invitee, "invitee_no_show.deleted");
    await told(`${invitee.id}.confirmed`);
    await stack.deliver(invitee, "invitee_no_show.created");
    await stack.deliver(invitee, "invitee.created");
    const next = book("intro", "16:00");
    await stack.deliver(next);
    await told(`${next.id}.confirmed`);
    expect(await logOf(invitee)).toEqual([`${invitee.id}.confirmed`]);
  });
});

describe("a routing form submission", () => {
  const submit = () => stack.simulator.account.submitRoutingForm([{ question: "Team size", answer: "9" }], "intro");
  const answers = [{ question: "Team size", answer: "9" }];

  test("that came before the booking which it led to is told with it", async () => {
    const uri = submit();
    const invitee = book("intro", "15:00", { routingFormSubmission: uri });
    await stack.deliver({ uri });
    await stack.deliver(invitee);
    const [confirmed] = await told(`${invitee.id}.confirmed`);
    expect(confirmed).toMatchObject({ data: { booking: { routingForm: { uri, answers } } } });
  });

  test("that comes later updates it", async () => {
    const uri = submit();
    const invitee = book("intro", "15:00", { routingFormSubmission: uri });
    await stack.deliver(invitee);
    const [confirmed] = await told(`${invitee.id}.confirmed`);
    expect(confirmed).toMatchObject({ data: { booking: { routingForm: { uri, answers: null } } } });
    await stack.deliver({ uri });
    const [updated] = await told(`${invitee.id}.updated.routing_form`);
    expect(updated).toMatchObject({ data: { changed: "routing_form", booking: { routingForm: { uri, answers } } } });
  });
});

describe("the event type", () => {
  test("is told with what Calendly says of it, and asked for anew when it changes", async () => {
    const before = book("sales-call");
    await stack.deliver(before);
    const [confirmed] = await told(`${before.id}.confirmed`);
    const type = { resolved: true, slug: "sales-call", kind: "solo", poolingType: "round_robin" };
    expect(confirmed).toMatchObject({ data: { booking: { event: { type: { ...type, durationMinutes: 30 } } } } });

    const changed = stack.simulator.account.updateEventType("sales-call", { minutes: 50 });
    await stack.deliver(changed, "event_type.updated");
    const after = book("sales-call", "18:00");
    await stack.deliver(after);
    const [next] = await told(`${after.id}.confirmed`);
    expect(next).toMatchObject({ data: { booking: { event: { type: { ...type, durationMinutes: 50 } } } } });
  });

  test("is told unresolved, and the outcome not held back, while Calendly is away", async () => {
    stack.simulator.setFaults({ api: "down" });
    const invitee = book("panel");
    await stack.deliver(invitee);
    const [confirmed] = await told(`${invitee.id}.confirmed`);
    expect(confirmed).toMatchObject({ data: { booking: { event: { type: { resolved: false, kind: null } } } } });
    stack.simulator.setFaults({ api: "well" });
  });
});

describe("a conference link that is not ready", () => {
  test("is asked for again, and told once when it is there", async () => {
    const invitee = book("onboarding", "15:00", { conferenceLater: true });
    await stack.deliver(invitee);
    const [confirmed] = await told(`${invitee.id}.confirmed`);
    expect(confirmed).toMatchObject({ data: { booking: { event: { location: { status: "processing" } } } } });
    stack.simulator.account.pushConference(invitee.event.id);
    const [updated] = await told(`${invitee.id}.updated.conference`);
    expect(updated).toMatchObject({
      type: "booking.updated",
      data: { changed: "conference", booking: { event: { location: { status: "pushed" } } } },
    });
    expect(await logOf(invitee)).toEqual([`${invitee.id}.confirmed`, `${invitee.id}.updated.conference`]);
    expect(await stack.redis.zscore("{calendly:0}:unfinished", invitee.id)).toBeNull();
  });
});

describe("a host who is booked twice", () => {
  const nameOf = (a: Invitee, b: Invitee, from: string) => `${[a.id, b.id].toSorted().join("+")}.conflict.${from}`;

  test("is told with both bookings, the overlap and free times, and when it is over", async () => {
    const demo = book("product-demo", "15:00");
    const panel = book("panel", "15:15");
    await stack.deliver(panel);
    await stack.deliver(demo);
    const name = nameOf(demo, panel, panel.event.start);
    const [detected] = await told(`${name}.detected`);
    const [smaller, greater] = [demo, panel].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    expect(detected).toMatchObject({
      subject: smaller?.id,
      data: {
        conflict: {
          bookings: [{ id: smaller?.id }, { id: greater?.id }],
          host: demo.event.hosts[0]?.uri,
          overlap: { start: panel.event.start, end: demo.event.end },
        },
        alternatives: expect.arrayContaining([{ start: expect.any(String), inviteesRemaining: 1 }]),
      },
    });
    stack.simulator.account.cancel(demo.id);
    await stack.deliver(demo, "invitee.canceled");
    const [resolved] = await told(`${name}.resolved`);
    expect(resolved).toMatchObject({ type: "booking.conflict_resolved", time: demo.cancellation?.created_at });
  });

  test("is told once where both bookings have several hosts in common", async () => {
    const [one, other] = [book("panel", "15:00"), book("panel", "15:30")];
    await stack.deliver(one);
    await stack.deliver(other);
    await told(`${nameOf(one, other, other.event.start)}.detected`);
    const next = book("intro", "18:00");
    await stack.deliver(next);
    await told(`${next.id}.confirmed`);
    const conflicts = (await stack.outcomes.all()).filter(({ id }) => id.startsWith(nameOf(one, other, "")));
    expect(conflicts).toHaveLength(1);
  });

  test("by a group event is not: its invitees share it", async () => {
    const [one, other] = [book("webinar"), book("webinar")];
    expect(one.event.id).toBe(other.event.id);
    await stack.deliver(one);
    await stack.deliver(other);
    await told(`${one.id}.confirmed`, `${other.id}.confirmed`);
    stack.simulator.account.cancel(one.id);
    await stack.deliver(one, "invitee.canceled");
    await told(`${one.id}.canceled`);
    const pairs = (await stack.outcomes.all()).filter(({ id }) => id.includes(one.id) && id.includes(".conflict."));
    expect(pairs).toEqual([]);
    expect(await logOf(other)).toEqual([`${other.id}.confirmed`]);
  });

  test("is over when one is moved away, and told anew when it is moved back", async () => {
    const intro = book("intro", "15:00");
    const call = book("sales-call", "15:00", { host: "deji.okafor" });
    const away = move(intro, "17:00");
    const back = move(away, "15:00");
    const name = nameOf(intro, call, call.event.start);
    await stack.deliver(call);
    await stack.deliver(intro, "invitee.created");
    await told(`${name}.detected`);
    await stack.deliver(away, "invitee.created");
    await told(`${name}.resolved`);
    await stack.deliver(back);
    await told(`${name}.2.detected`);
  });
});
