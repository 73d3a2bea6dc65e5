import { createHash, randomUUID } from "node:crypto";
import { localTime } from "@calendly-worker/core/bookings/local-time";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import type { AppProcess } from "../support/app-process.ts";
import { canceledBody, createdBody, type Invitee, MEETING, newInvitee } from "../support/bookings.ts";
import { deliver } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Stack, startStack, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

let server: RedisServer;
let stack: Stack;

beforeAll(async () => {
  server = await startRedis();
  stack = await startStack(server.url);
});

afterAll(async () => {
  await stack?.stop();
  await server?.stop();
});

const send = async (...bodies: string[]) => {
  for (const body of bodies)
    expect(await deliver(stack.ingest.webhookUrl, body)).toMatchObject({ body: { status: "accepted" } });
};

/** Waits until the job of an invitee's creation has ended so. */
const untilDone = (invitee: Invitee, result: string) =>
  until(`the job ended as ${result}`, () =>
    stack.worker.logs.some(
      (line) =>
        line.msg === "job ended" && line["identity"] === `invitee.created/${invitee.id}` && line["result"] === result,
    ),
  );

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

const outcomesOf = async (subject: Invitee) =>
  (await stack.outcomes.all()).filter((event) => event.subject === subject.id).map(({ id }) => id);

describe("a booking", () => {
  test("is confirmed, in an event that says all that Calendly said", async () => {
    const invitee = newInvitee();
    await send(createdBody(invitee));
    const events = await stack.outcomes.untilThere([`${invitee.id}.confirmed`]);
    expect(events.find(({ subject }) => subject === invitee.id)).toEqual({
      specversion: "1.0",
      id: `${invitee.id}.confirmed`,
      source: "/calendly-worker/bookings",
      type: "booking.confirmed",
      subject: invitee.id,
      time: "2026-11-23T14:05:11.231744Z",
      datacontenttype: "application/json",
      dataschema: "urn:calendly-worker:outcome:1",
      data: {
        booking: {
          id: invitee.id,
          status: "active",
          sequence: 1,
          reference: "order-1001",
          start: MEETING.start,
          end: MEETING.end,
          startLocal: localTime(MEETING.start, "America/New_York"),
          endLocal: localTime(MEETING.end, "America/New_York"),
          timezone: "America/New_York",
          invitee: {
            uri: invitee.uri,
            email: "priya.nair@acme-corp.example",
            name: "Priya Nair",
            firstName: null,
            lastName: null,
            phone: "+12125550147",
          },
          event: {
            uri: invitee.uri.split("/invitees/")[0],
            name: "Product Demo (30 min)",
            type: {
              uri: "https://api.calendly.com/event_types/c3d4e5f6-0718-4293-a4b5-c6d7e8f91101",
              resolved: false,
              slug: null,
              kind: null,
              poolingType: null,
              durationMinutes: null,
            },
            location: { type: "zoom", status: "pushed", join_url: "https://northwind-demo.zoom.example/j/1" },
            guests: [],
          },
          hosts: [
            {
              uri: `https://api.calendly.com/users/${invitee.id}`,
              name: "Mara Lindqvist",
              email: "mara.lindqvist@northwind-demo.example",
            },
          ],
          answers: [{ question: "Company name", answer: "Acme Corp" }],
          tracking: { utm_content: "order-1001" },
          payment: null,
          noShow: null,
          routingForm: null,
          links: {
            cancel: `https://calendly.com/cancellations/${invitee.id}`,
            reschedule: `https://calendly.com/reschedulings/${invitee.id}`,
          },
        },
        origin: "webhook",
      },
    });
  });

  test("stands in the stream with the fields that one filters by", async () => {
    const invitee = newInvitee();
    await send(createdBody(invitee));
    await stack.outcomes.untilThere([`${invitee.id}.confirmed`]);
    const entries = await stack.redis.xrevrange("{calendly:0}:outcomes", "+", "-", "COUNT", 10);
    const [, fields] = entries.find(([, values]) => values.includes(invitee.id)) ?? [];
    expect(fields?.filter((_, index) => index % 2 === 0)).toEqual(["id", "type", "subject", "event"]);
    expect(fields?.slice(0, 6)).toEqual([
      "id",
      `${invitee.id}.confirmed`,
      "type",
      "booking.confirmed",
      "subject",
      invitee.id,
    ]);
  });

  test("is canceled after it was confirmed, at the time of the cancellation", async () => {
    const invitee = newInvitee();
    await send(createdBody(invitee), canceledBody(invitee));
    const events = await stack.outcomes.untilThere([`${invitee.id}.canceled`]);
    expect(await outcomesOf(invitee)).toEqual([`${invitee.id}.confirmed`, `${invitee.id}.canceled`]);
    expect(events.find(({ id }) => id === `${invitee.id}.canceled`)).toMatchObject({
      time: "2026-11-24T09:29:59.000000Z",
      data: {
        booking: { status: "canceled", sequence: 2 },
        cancellation: { by: "Priya Nair", byType: "invitee", reason: "Something came up" },
      },
    });
  });

  test("that is first seen canceled is confirmed and canceled, and its creation then changes nothing", async () => {
    const invitee = newInvitee();
    await send(canceledBody(invitee));
    await stack.outcomes.untilThere([`${invitee.id}.canceled`]);
    await send(createdBody(invitee));
    await untilDone(invitee, "unchanged");
    expect(await outcomesOf(invitee)).toEqual([`${invitee.id}.confirmed`, `${invitee.id}.canceled`]);
  });
});

describe("a rescheduled booking", () => {
  const expectMoved = async (first: Invitee, second: Invitee) => {
    const events = await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
    expect(await outcomesOf(first)).toEqual([`${first.id}.confirmed`, `${second.id}.rescheduled`]);
    expect(events.find(({ id }) => id === `${second.id}.rescheduled`)).toMatchObject({
      type: "booking.rescheduled",
      data: { booking: { id: first.id, sequence: 2 }, previous: { inviteeUri: first.uri } },
    });
  };

  test("is one outcome of the same booking when the old half comes first", async () => {
    const [first, second] = [newInvitee(), newInvitee()];
    await send(createdBody(first), canceledBody(first, { next: second }), createdBody(second, first));
    await expectMoved(first, second);
  });

  test("is the same when the new half comes first", async () => {
    const [first, second] = [newInvitee(), newInvitee()];
    await send(createdBody(first));
    await stack.outcomes.untilThere([`${first.id}.confirmed`]);
    await send(createdBody(second, first));
    await expectMoved(first, second);
    await send(canceledBody(first, { next: second }));
    await expectMoved(first, second);
  });

  test("is the same when its new half comes before anything else", async () => {
    const [first, second] = [newInvitee(), newInvitee()];
    await send(createdBody(second, first));
    await untilDone(second, "waiting");
    expect(await outcomesOf(first)).toEqual([]);
    await send(createdBody(first));
    await expectMoved(first, second);
    await until("nothing waits", async () => (await stack.redis.exists(`{calendly:0}:waiting:${first.id}`)) === 0);
  });

  test("can be moved on and canceled, with every delivery in reverse", async () => {
    const [first, second, third] = [newInvitee(), newInvitee(), newInvitee()];
    await send(
      canceledBody(third, { old: second }),
      createdBody(third, second),
      canceledBody(second, { old: first, next: third }),
      createdBody(second, first),
      canceledBody(first, { next: second }),
      createdBody(first),
    );
    await stack.outcomes.untilThere([`${third.id}.canceled`]);
    expect(await outcomesOf(first)).toEqual([
      `${first.id}.confirmed`,
      `${second.id}.rescheduled`,
      `${third.id}.rescheduled`,
      `${third.id}.canceled`,
    ]);
  });
});

describe("several workers racing for the same bookings", () => {
  const racers: AppProcess[] = [];
  beforeAll(async () => {
    racers.push(...Array.from({ length: 3 }, () => startWorker(server.url)));
    await Promise.all(racers.map((racer) => racer.untilLogged("taking jobs")));
  });
  afterAll(async () => {
    await Promise.all(racers.map((racer) => racer.end()));
  });

  test("give each booking the log that its facts have, each outcome once", async () => {
    const chains = Array.from({ length: 40 }, () => [newInvitee(), newInvitee(), newInvitee()] as const);
    const bodies = chains.flatMap(([first, second, third]) => [
      createdBody(first),
      canceledBody(first, { next: second }),
      createdBody(second, first),
      canceledBody(second, { old: first, next: third }),
      createdBody(third, second),
      canceledBody(third, { old: second }),
    ]);
    // Ids are random, and so is this order: it has nothing to do with that in which things happened.
    const shuffled = bodies.toSorted((a, b) => sha256(a).localeCompare(sha256(b)));
    await Promise.all(shuffled.map((body) => send(body)));
    await stack.outcomes.untilThere(chains.map(([, , third]) => `${third.id}.canceled`));
    const events = await stack.outcomes.all();
    for (const [first, second, third] of chains) {
      const ids = [
        `${first.id}.confirmed`,
        `${second.id}.rescheduled`,
        `${third.id}.rescheduled`,
        `${third.id}.canceled`,
      ];
      expect(events.filter(({ subject }) => subject === first.id)).toMatchObject(
        ids.map((id, index) => ({ id, data: { booking: { sequence: index + 1 } } })),
      );
    }
    const conflicts = [stack.worker, ...racers]
      .flatMap(({ logs }) => logs)
      .filter(({ msg }) => msg === "lost a race, folding again");
    expect(conflicts.length).toBeGreaterThan(0);
  });
});

describe("a fact that is counted already", () => {
  test("changes nothing even when the memory of deliveries has forgotten it", async () => {
    const invitee = newInvitee();
    await send(createdBody(invitee));
    await stack.outcomes.untilThere([`${invitee.id}.confirmed`]);
    await stack.redis.del(`{calendly:0}:deliveries:de:invitee.created/${invitee.id}`);
    await send(createdBody(invitee));
    await untilDone(invitee, "unchanged");
    expect(await outcomesOf(invitee)).toEqual([`${invitee.id}.confirmed`]);
  });
});

describe("what cannot work", () => {
  test("is kept as a failed job at once, without further tries, when the job's data is no delivery", async () => {
    const identity = `nonsense/${randomUUID()}`;
    const contract = { ...deliveries, data: z.object({ nonsense: z.string() }), identity: () => identity };
    const shards = createShards(1);
    const options = { redis: stack.redis, contract, deduplicationMs: 60_000, deadlineMs: 5_000 };
    const producer = createProducer(options);
    await producer.enqueue(shards.first, "invitee.created", { nonsense: "yes" });
    const jobId = await stack.redis.get(`{calendly:0}:deliveries:de:${identity}`);
    await until("the job has failed", () => stack.redis.zscore("{calendly:0}:deliveries:failed", String(jobId)));
    const job = await stack.redis.hgetall(`{calendly:0}:deliveries:${jobId}`);
    expect(job).toMatchObject({ atm: "1", data: '{"nonsense":"yes"}' });
    expect(job["failedReason"]).toContain("does not fit the contract of deliveries: identity: ");
  });

  test("is quarantined when it makes no chain, and the booking stays as it was", async () => {
    const [first, second, third] = [newInvitee(), newInvitee(), newInvitee()];
    await send(createdBody(first), canceledBody(first, { next: second }), createdBody(second, first));
    await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
    await send(createdBody(third, first));
    await untilDone(third, "quarantined");
    const entry = await createQuarantine({ redis: stack.redis, shards: createShards(1), retentionDays: 90 }).get(
      `invitee.created/${third.id}`,
    );
    expect(entry).toMatchObject({ reason: "chain_malformed", problems: ["chain: second_successor"] });
    expect(Buffer.from(entry?.body ?? []).toString()).toBe(createdBody(third, first));
    expect(await outcomesOf(first)).toEqual([`${first.id}.confirmed`, `${second.id}.rescheduled`]);
  });
});

test("no personal data has reached the worker's log", () => {
  expect(stack.worker.output()).toContain('"msg":"published"');
  expect(stack.worker.output()).not.toMatch(/@[a-z-]+\.example|Priya|Acme|cancellations\/|\+1212/);
});
