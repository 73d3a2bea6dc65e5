import { readFileSync, writeFileSync } from "node:fs";
import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { type Band, sweeps } from "@calendly-worker/core/queues/contracts";
import { createPendingJobs } from "@calendly-worker/core/queues/pending-jobs";
import { createShards, sweepRunKey } from "@calendly-worker/core/redis/keys";
import { createHeartbeatStore } from "@calendly-worker/core/store/heartbeats";
import { createKnownEvents } from "@calendly-worker/core/store/known-events";
import { createSweepRuns, type SweepRun } from "@calendly-worker/core/store/sweep-runs";
import { describe, expect, test } from "@jest/globals";
import { compareWithCalendly } from "../../apps/worker/src/jobs/compare-with-calendly.ts";
import { NOTHING as NOTHING_LOOKED } from "../../apps/worker/src/sweep.ts";
import type { Invitee, ScheduledEvent } from "../simulator/meetings.ts";
import { DEMO_TOKEN, type Simulator } from "../simulator/simulator.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { silent } from "../support/connect-redis.ts";
import { deliver } from "../support/deliveries.ts";
import { openGate } from "../support/open-gate.ts";
import { bodyOf, openOutcomeLog, scrape, startIngest, startWorker } from "../support/stack.ts";
import { type Stage, stagedBy } from "../support/stage.ts";
import { until } from "../support/until.ts";
import { emptyRedis } from "../support/whole-redis.ts";

const shards = createShards(1);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const NEAR = {
  delayed: "{calendly:0}:sweeps:delayed",
  job: "{calendly:0}:sweeps:near",
  run: sweepRunKey("near"),
};

/** In one step, so that the job is not being tried meanwhile: what that try finds would be written over it. */
const CHANGE_BETWEEN_TRIES = `
if not redis.call("ZSCORE", KEYS[1], "near") or redis.call("GET", KEYS[3]) ~= ARGV[1] then return false end
redis.call("SET", KEYS[3], ARGV[2])
return redis.call("HGET", KEYS[2], "ats")
`;

async function begin({ server, redis, simulator, running }: Stage) {
  const outcomes = await openOutcomeLog(redis);
  /** What is booked for one hour begins at one time, also where a minute turns between two of them. In ms. */
  const minute = Math.floor(Date.now() / 60_000) * 60_000;

  async function startOne(variables: Variables = {}): Promise<AppProcess> {
    const worker = startWorker(server.url, {
      CALENDLY_API_BASE_URL: simulator.url,
      CALENDLY_API_TOKEN: DEMO_TOKEN,
      CALENDLY_KEY_ROTATION_MONITORING: "false",
      CALENDLY_RECONCILE_GRACE: "0",
      LOG_LEVEL: "info",
      ...variables,
    });
    running.push(worker);
    await worker.untilLogged("taking jobs");
    return worker;
  }

  /** Asks for a comparison, as the schedule does, and gives its report. */
  async function compare(band: Band, deadlineMs = 20_000): Promise<SweepRun> {
    const runs = createSweepRuns(redis);
    const before = await runs.report(band);
    const jobs = createPendingJobs({ redis, shards, contract: sweeps, log: silent });
    // A comparison's job ends a moment after its report is there, and one under its id is ignored until then.
    await until("the one before is over", async () => !(await jobs.isPending(shards.first, { kind: "band", band })));
    await jobs.ensure(shards.first, { kind: "band", band }, 0);
    const isNew = async () => {
      const report = await runs.report(band);
      return report?.startedAt === before?.startedAt ? undefined : report;
    };
    const report = await until(`the ${band} events are compared`, isNew, { deadlineMs });
    await jobs.close();
    return report;
  }

  /** Asks for a comparison, and waits until the invitees of an event could not be read at so many tries. */
  async function untilFailing(uri: string, tries: number): Promise<SweepRun> {
    const jobs = createPendingJobs({ redis, shards, contract: sweeps, log: silent });
    await jobs.ensure(shards.first, { kind: "band", band: "near" }, 0);
    await jobs.close();
    const isFailing = async () => {
      const run = await createSweepRuns(redis).current("near");
      return run?.failing?.uri === uri && run.failing.tries >= tries ? run : undefined;
    };
    return await until("it could not be read", isFailing, { deadlineMs: 20_000 });
  }

  /**
   * Makes of the event that fails one that failed at so many tries: with their delays they take minutes. Gives how often the
   * job had been begun by then; BullMQ counts that in the field "ats".
   */
  async function countFailures(tries: number): Promise<number> {
    const change = async () => {
      const before = (await redis.get(NEAR.run)) ?? "{}";
      const run = JSON.parse(before) as SweepRun;
      const after = JSON.stringify({ ...run, failing: { ...run.failing, tries } });
      return await redis.eval(CHANGE_BETWEEN_TRIES, 3, NEAR.delayed, NEAR.job, NEAR.run, before, after);
    };
    return Number(await until("the job waits for its next try", change, { deadlineMs: 20_000 }));
  }

  /** Waits until the job was begun more often than that, and waits for its next try. */
  async function untilTriedAfter(starts: number): Promise<void> {
    const isTried = async () => {
      const replies = await redis.multi().zscore(NEAR.delayed, "near").hget(NEAR.job, "ats").exec();
      const [delayedTo, begun] = (replies ?? []).map(([, reply]) => reply);
      return delayedTo !== null && Number(begun) > starts;
    };
    await until("it is tried again", isTried, { deadlineMs: 20_000 });
  }

  let count = 0;
  function book(inHours: number, eventType = "intro"): Invitee {
    count += 1;
    const start = new Date(minute + inHours * HOUR_MS).toISOString();
    return simulator.account.book({
      eventType,
      start,
      name: `Guest ${count}`,
      email: `guest.${count}@acme-corp.example`,
    });
  }

  const requestsTo = (pattern: RegExp) => simulator.requests().filter(({ path }) => pattern.test(path)).length;

  return {
    server,
    redis,
    simulator,
    running,
    outcomes,
    startOne,
    compare,
    untilFailing,
    countFailures,
    untilTriedAfter,
    book,
    requestsTo,
  };
}

const on = stagedBy({ seed: 8, rateLimit: 100_000 }, begin);
const onTightBudget = stagedBy({ seed: 8, rateLimit: 50, speed: 60 }, begin);

const idsOf = (events: readonly OutcomeEvent[]) => events.map(({ id }) => id);
const INVITEES = /\/invitees$/;

describe("a comparison", () => {
  test.concurrent(
    "takes up what no delivery told, once, and says what was missed and how late",
    on(async ({ simulator, outcomes, startOne, compare, book }) => {
      await startOne();
      const [kept, moved, canceled, late] = [book(2), book(30), book(50), book(24 * 30)];
      const next = simulator.account.reschedule(moved.id, new Date(Date.now() + 40 * HOUR_MS).toISOString());
      simulator.account.cancel(canceled.id);
      const report = await compare("near");
      expect(report).toMatchObject({
        seen: 4,
        read: 4,
        facts: 6,
        missed: { "invitee.created": 4, "invitee.canceled": 2, "invitee_no_show.created": 0 },
        historical: 0,
      });
      expect(report.longestLagMs).toBeGreaterThan(0);
      expect(report.requests).toBe(1 + 1 + 4);
      const told = await outcomes.all();
      expect(idsOf(told).toSorted()).toEqual(
        [
          `${kept.id}.confirmed`,
          `${moved.id}.confirmed`,
          `${next.id}.rescheduled`,
          `${canceled.id}.confirmed`,
          `${canceled.id}.canceled`,
        ].toSorted(),
      );
      expect(told.every(({ data }) => "origin" in data && data.origin === "reconcile")).toBe(true);

      const again = await compare("near");
      expect(again).toMatchObject({ seen: 4, read: 0, requests: 1, facts: 0 });
      expect(await compare("far")).toMatchObject({ seen: 1, missed: { "invitee.created": 1 } });
      expect(idsOf(await outcomes.all())).toEqual([...idsOf(told), `${late.id}.confirmed`]);
    }),
  );

  test.concurrent(
    "asks nothing of an event that was delivered and then read once, until something of it is missing",
    on(async ({ server, simulator, running, outcomes, startOne, compare, book }) => {
      await startOne();
      const ingest = await startIngest(server.url);
      running.push(ingest);
      await ingest.untilLogged("ready for deliveries");
      const send = async () => {
        const happening = simulator.account.history().at(-1);
        if (happening !== undefined) await deliver(ingest.webhookUrl, bodyOf(happening));
      };
      const first = book(3, "webinar");
      await send();
      await outcomes.untilThere([`${first.id}.confirmed`]);
      expect(await compare("near")).toMatchObject({ read: 1, facts: 1, missed: { "invitee.created": 0 } });
      // A second invitee, whose delivery is lost; Calendly may leave the event's own time of change as it is.
      const { event } = first;
      const updatedAt = event.updatedAt;
      const second = book(3, "webinar");
      event.updatedAt = updatedAt;
      expect(second.event).toBe(event);
      expect(await compare("near")).toMatchObject({ read: 1, missed: { "invitee.created": 1 } });
      expect(await compare("near")).toMatchObject({ read: 0 });
      // A third, whose delivery comes: then nothing is missing.
      const third = book(3, "webinar");
      event.updatedAt = updatedAt;
      await send();
      await outcomes.untilThere([`${third.id}.confirmed`]);
      expect(await compare("near")).toMatchObject({ read: 0 });
      // Calendly erases one: it is read once more, and then no more.
      simulator.account.forget(second.id);
      expect(await compare("near")).toMatchObject({ read: 1, facts: 2 });
      expect(await compare("near")).toMatchObject({ read: 0 });
    }),
  );

  test.concurrent(
    "tells Prometheus the ratio of what was missed, until the band is not compared any more",
    on(async ({ server, simulator, startOne, compare, book }) => {
      simulator.setFaults({ api: "down" });
      const worker = await startOne({ CALENDLY_RECONCILE_NEAR_INTERVAL: "3600" });
      const { url } = await worker.untilLogged("listening");
      const metrics = async () => await scrape(url);
      expect(await metrics()).not.toMatch(/^calendly_reconciliation_events\{/m);
      simulator.setFaults({ api: "well" });
      const isTold = async () => /^calendly_reconciliation_events\{band="near"\} 0$/m.test(await metrics());
      await until("the schedule's first one is over", isTold, { deadlineMs: 30_000 });
      const { id } = book(2);
      simulator.account.cancel(id);
      await compare("near");
      expect(await metrics()).toMatch(/^calendly_reconciliation_missed_ratio\{band="near"\} 1$/m);
      expect(await metrics()).toMatch(/^calendly_reconciliation_missed\{band="near",event="invitee.canceled"\} 1$/m);
      book(3);
      await server.freeze();
      const away = await metrics();
      expect(away).not.toMatch(/^calendly_reconciliation_events\{/m);
      // By these it is known that the worker lives although nobody can say so.
      expect(away).not.toMatch(/^calendly_instances\{/m);
      expect(away).toMatch(/^calendly_redis_fit 0$/m);
      expect(away).toMatch(/^calendly_api_circuit_open 0$/m);
      expect(away).toMatch(/^calendly_fleet_read_errors_total [1-9]/m);
      await server.thaw();
      await compare("near");
      expect(await metrics()).toMatch(/^calendly_reconciliation_events\{band="near"\} 2$/m);
      const { url: other } = await (await startOne()).untilLogged("listening");
      expect(await scrape(other)).not.toMatch(/^calendly_reconciliation_\w+\{band="near"/m);
    }),
  );

  test.concurrent(
    "tells Prometheus since when none has ended, from the beginning, of bands that are compared again and again",
    on(async ({ simulator, startOne, compare }) => {
      simulator.setFaults({ api: "down" });
      const worker = await startOne({ CALENDLY_RECONCILE_FAR_INTERVAL: "3600" });
      const { url } = await worker.untilLogged("listening");
      const endedAt = async () =>
        Number(/^calendly_reconciliation_ended_timestamp_seconds\{band="far"\} (\S+)$/m.exec(await scrape(url))?.[1]);
      const beganAt = await endedAt();
      expect(Math.abs(Date.now() / 1_000 - beganAt)).toBeLessThan(60);
      simulator.setFaults({ api: "well" });
      await until("one has ended", async () => (await endedAt()) > beganAt, { deadlineMs: 30_000 });
      await compare("near");
      expect(await scrape(url)).not.toMatch(/^calendly_reconciliation_ended_timestamp_seconds\{band="near"\}/m);
    }),
  );

  test.concurrent(
    "goes on with the others where one event does not fit, and says so without saying who",
    on(async ({ outcomes, startOne, compare, book }) => {
      const worker = await startOne();
      const [first, broken, last] = [book(2), book(3), book(4)];
      broken.event.updatedAt = "at noon";
      const report = await compare("near");
      expect(report).toMatchObject({ seen: 2, read: 2, unreadable: 1 });
      expect(idsOf(await outcomes.all())).toEqual([`${first.id}.confirmed`, `${last.id}.confirmed`]);
      const line = await worker.untilLogged("left out what calendly's answer says");
      expect(JSON.stringify(line)).toContain("updated_at");
      expect(JSON.stringify(line)).not.toContain("at noon");
    }),
  );

  test.concurrent.each([403, 404])(
    "passes over an event whose invitees are answered %i for, and says which",
    on(async ({ redis, outcomes, startOne, compare, book }, status) => {
      const worker = await startOne({ CALENDLY_RECONCILE_NEAR_INTERVAL: "3600" });
      const { url } = await worker.untilLogged("listening");
      const foundNothing = async () => (await createSweepRuns(redis).report("near"))?.seen === 0;
      await until("the schedule's first one is over", foundNothing, { deadlineMs: 20_000 });
      const [first, broken, last] = [book(2), book(3), book(4)];
      broken.event.inviteesStatus = status;
      expect(await compare("near")).toMatchObject({ seen: 3, read: 2, passedOver: 1, unreadable: 0 });
      expect(idsOf(await outcomes.all())).toEqual([`${first.id}.confirmed`, `${last.id}.confirmed`]);
      const line = await worker.untilLogged("passed over an event");
      expect(line).toMatchObject({
        scheduledEvent: broken.event.uri,
        code: status === 403 ? "permission_denied" : "not_found",
      });
      expect(await scrape(url)).toMatch(/^calendly_reconciliation_passed_over\{band="near"\} 1$/m);
      // It is asked for again by the next one, and the others are not.
      delete broken.event.inviteesStatus;
      const next = await compare("near");
      expect(next).toMatchObject({ seen: 3, read: 1, missed: { "invitee.created": 1 } });
      expect(next.passedOver).toBeUndefined();
    }),
  );

  test.concurrent(
    "passes over an event that Calendly fails at only after ten tries in a row",
    on(async ({ redis, outcomes, startOne, untilFailing, countFailures, book }) => {
      await startOne();
      const [first, broken, last] = [book(2), book(3), book(4)];
      broken.event.inviteesStatus = 500;
      const run = await untilFailing(broken.event.uri, 2);
      expect(idsOf(await outcomes.all())).toEqual([`${first.id}.confirmed`]);
      expect(run).toMatchObject({ seen: 1, read: 1 });
      await countFailures(9);
      const compared = () => createSweepRuns(redis).report("near");
      const report = await until("the near events are compared", compared, { deadlineMs: 20_000 });
      expect(report).toMatchObject({ seen: 3, read: 2, passedOver: 1 });
      expect(report.failing).toBeUndefined();
      expect(idsOf(await outcomes.all())).toEqual([`${first.id}.confirmed`, `${last.id}.confirmed`]);
    }),
  );

  test.concurrent.each([
    ["is wholly away", (simulator: Simulator) => simulator.setFaults({ api: "down" })],
    ["takes the token no more", (simulator: Simulator) => simulator.setToken(DEMO_TOKEN, { state: "revoked" })],
    [
      "lets the token read no events",
      (simulator: Simulator) => simulator.setToken(DEMO_TOKEN, { scopes: ["users:read"] }),
    ],
    ["has no budget left", (_: Simulator, event: ScheduledEvent) => Object.assign(event, { inviteesStatus: 429 })],
  ])(
    "passes over nothing where Calendly's API %s",
    on(async ({ redis, simulator, startOne, untilFailing, countFailures, untilTriedAfter, book }, _, spoil) => {
      const worker = await startOne();
      const broken = book(3);
      book(4);
      broken.event.inviteesStatus = 500;
      await untilFailing(broken.event.uri, 1);
      spoil(simulator, broken.event);
      // The next failure would be the tenth.
      await untilTriedAfter(await countFailures(9));
      expect(await createSweepRuns(redis).current("near")).toMatchObject({ seen: 0, failing: { tries: 9 } });
      expect(worker.logs.map(({ msg }) => msg)).not.toContain("passed over an event");
    }),
  );

  test.concurrent(
    "leaves to its delivery what has just changed",
    on(async ({ outcomes, startOne, compare, book }) => {
      await startOne({ CALENDLY_RECONCILE_GRACE: "6" });
      const { id } = book(2);
      expect(await compare("near")).toMatchObject({ seen: 1, read: 0 });
      expect(await outcomes.all()).toEqual([]);
      await until("it is old enough", async () => (await compare("near")).read === 1, {
        everyMs: 300,
        deadlineMs: 30_000,
      });
      expect(idsOf(await outcomes.all())).toEqual([`${id}.confirmed`]);
    }),
  );

  test.concurrent(
    "reads an event once more a day after its end, for the no-shows",
    on(async ({ redis, simulator, outcomes, startOne, compare, book }) => {
      await startOne();
      const invitee = book(-26);
      expect(await compare("past")).toMatchObject({ seen: 1, read: 1 });
      // As if it had been read before the day was over.
      const known = createKnownEvents({ redis, shards, retentionDays: 90, now: Date.now });
      const eventId = invitee.event.id;
      const [swept] = await known.swept([eventId]);
      if (swept === undefined) throw new Error("it was not read");
      expect(await compare("past")).toMatchObject({ read: 0 });
      simulator.account.markNoShow(invitee.id);
      expect(await compare("past")).toMatchObject({ read: 0 });
      await known.keepSwept({ id: eventId, end: invitee.event.end }, { ...swept, readAt: Date.now() - 2 * HOUR_MS });
      expect(await compare("past")).toMatchObject({ read: 1, missed: { "invitee_no_show.created": 1 } });
      expect((await outcomes.all()).map(({ type }) => type)).toEqual(["booking.confirmed", "booking.no_show"]);
      expect(await compare("past")).toMatchObject({ read: 0 });
    }),
  );

  test.concurrent(
    "counts as missed only what some event that is subscribed to would have told, and takes up the rest too",
    on(async ({ redis, simulator, outcomes, startOne, compare, book }) => {
      // As the guide has it, which knows of no event about no-shows.
      await startOne({ CALENDLY_WEBHOOK_EVENTS: "invitee.created,invitee.canceled,invitee.rescheduled" });
      const [present, absent] = [book(-26), book(-27)];
      expect(await compare("past")).toMatchObject({ facts: 2, missed: { "invitee.created": 2 } });
      const runs = createSweepRuns(redis);
      const newestMissedAt = await runs.newestMissedAt();
      expect(newestMissedAt).toBe(Math.max(Date.parse(present.createdAt), Date.parse(absent.createdAt)));
      await until("a second has passed", () => Date.now() > Date.parse(absent.createdAt) + 1_100);
      simulator.account.markNoShow(absent.id);
      simulator.account.cancel(present.id);
      // As if it had been read before the day was over.
      const known = createKnownEvents({ redis, shards, retentionDays: 90, now: Date.now });
      const [swept] = await known.swept([absent.event.id]);
      if (swept === undefined) throw new Error("it was not read");
      await known.keepSwept({ id: absent.event.id, end: absent.event.end }, { ...swept, readAt: 0 });
      expect(await compare("past")).toMatchObject({
        read: 2,
        facts: 3,
        missed: { "invitee.created": 0, "invitee.canceled": 1, "invitee_no_show.created": 0 },
      });
      expect((await outcomes.all()).map(({ type }) => type)).toContain("booking.no_show");
      expect(await runs.newestMissedAt()).toBeGreaterThan(newestMissedAt ?? 0);
      simulator.account.clearNoShow(absent.id);
      const canceledAt = await runs.newestMissedAt();
      await known.keepSwept({ id: absent.event.id, end: absent.event.end }, { ...swept, readAt: 0 });
      expect(await compare("past")).toMatchObject({ read: 1, facts: 1, missed: { "invitee_no_show.deleted": 0 } });
      expect(await runs.newestMissedAt()).toBe(canceledAt);
    }),
  );

  test(
    "goes on where it stopped when its worker is killed, and runs once in the fleet",
    on(async ({ redis, simulator, outcomes, startOne, book, requestsTo }) => {
      const invitees = Array.from({ length: 250 }, (_, index) => book(1 + index));
      // Long enough for a busy machine: whoever is taken for dead and goes on asks for the same as its successor.
      const locks = { WORKER_JOB_LOCK_DURATION: "5000", WORKER_STALLED_CHECK_INTERVAL: "500" };
      const workers = await Promise.all([1, 2, 3].map(() => startOne(locks)));
      simulator.setFaults({ apiLatencyMs: 5 });
      const jobs = createPendingJobs({ redis, shards, contract: sweeps, log: silent });
      await jobs.ensure(shards.first, { kind: "band", band: "near" }, 0);
      await until("a hundred are done", () => requestsTo(INVITEES) > 110);
      for (const worker of workers) worker.signal("SIGKILL");
      await startOne(locks);
      const runs = createSweepRuns(redis);
      const report = await until("they are compared", () => runs.report("near"), { deadlineMs: 30_000 });
      await jobs.close();
      expect(report).toMatchObject({ seen: 250 });
      expect(idsOf(await outcomes.all()).toSorted()).toEqual(invitees.map(({ id }) => `${id}.confirmed`).toSorted());
      // A page is begun anew; what was read before is not asked for again.
      expect(requestsTo(INVITEES)).toBeLessThan(250 + 5);
    }),
  );

  /** Compares in slices of 21 events; gives how many were looked at in each, and which. */
  async function compareInSlices(
    { redis, simulator }: Pick<Stage, "redis" | "simulator">,
    data: Parameters<ReturnType<typeof compareWithCalendly>>[0],
  ) {
    const { organization } = simulator.account.catalog;
    const client = createCalendlyClient({
      gate: openGate(DEMO_TOKEN),
      baseUrl: simulator.url,
      timeoutMs: 5_000,
      totalTimeoutMs: 10_000,
      signal: new AbortController().signal,
    });
    const looked: string[] = [];
    const beganAt = Date.now();
    const compareSlice = compareWithCalendly({
      client,
      owner: async () => ({ organization, scope: "organization" }),
      sweep: {
        async *look(events) {
          for (const event of events) {
            looked.push(event.uri);
            yield { event, looked: NOTHING_LOOKED };
          }
        },
      },
      runs: createSweepRuns(redis),
      sliceMs: 20_000,
      bands: { nearDays: 14, pastDays: 7, graceMs: 0 },
      // Each look at an event takes a second.
      now: () => beganAt + looked.length * 1_000,
    });
    const context = {
      id: "1",
      name: "near",
      attempt: 1,
      isLastAttempt: false,
      starts: 1,
      shard: shards.first,
      log: silent,
      signal: new AbortController().signal,
    };
    const slices: number[] = [];
    for (let result: unknown; result !== "compared"; ) {
      const before = looked.length;
      result = await compareSlice(data, context);
      slices.push(looked.length - before);
      if (result !== "compared") expect(result).toEqual({ result: "going on", againAfterMs: 0 });
    }
    return { slices, looked };
  }

  test.concurrent(
    "lets others go on after its slice of time, at whichever event that is, and comes again until it is done",
    on(async ({ redis, simulator, book }) => {
      // Several have one start, and a page of Calendly's list takes longer than a slice.
      const invitees = Array.from({ length: 230 }, (_, index) => book(1 + Math.floor(index / 30)));
      const { slices, looked } = await compareInSlices({ redis, simulator }, { kind: "band", band: "near" });
      expect(slices).toEqual([...Array.from({ length: 10 }, () => 21), 20]);
      expect(looked.toSorted()).toEqual(invitees.map(({ event }) => event.uri).toSorted());
      expect(await createSweepRuns(redis).report("near")).toMatchObject({ seen: 230 });
    }),
  );

  test.concurrent.each([
    ["included", "excluded"],
    ["included", "included"],
    ["excluded", "excluded"],
    ["excluded", "included"],
  ] as const)(
    "misses none of one start, where Calendly has events at a range's beginning %s, at its end %s",
    on(async ({ redis, simulator }, min, max) => {
      simulator.setFaults({ minStartTime: min, maxStartTime: max });
      const hour = (index: number) => `2040-01-02T${10 + Math.floor(index / 60)}:00:00.000000Z`;
      const events = Array.from({ length: 300 }, (_, index) => {
        const guest = { name: `Guest ${index}`, email: `guest.${index}@acme-corp.example` };
        return simulator.account.book({ ...guest, eventType: "intro", start: hour(index) }).event.uri;
      });
      // From the second hour up to the last, which is not a part of it. Slices end in the midst of each hour.
      const range = { from: hour(60), to: hour(240), graceMs: 0, isDryRun: false };
      const { slices, looked } = await compareInSlices(
        { redis, simulator },
        { kind: "range", name: "hours", ...range },
      );
      expect(slices.length).toBeGreaterThan(2);
      expect(looked).toEqual(events.slice(60, 240));
      expect(await createSweepRuns(redis).report("hours")).toMatchObject({ seen: 180 });
    }),
  );

  test.concurrent(
    "keeps to its share of the budget",
    onTightBudget(async ({ simulator, outcomes, startOne, compare, book }) => {
      const invitees = Array.from({ length: 40 }, (_, index) => book(1 + index));
      await startOne();
      const report = await compare("near", 60_000);
      expect(report).toMatchObject({ seen: 40, read: 40 });
      expect(idsOf(await outcomes.all())).toHaveLength(invitees.length);
      expect(simulator.requests().filter(({ status }) => status === 429)).toEqual([]);
    }),
  );

  test(
    "of 20,000 unchanged events asks for no invitee, and stays small",
    on(async ({ redis, startOne, compare, book, requestsTo }) => {
      const known = createKnownEvents({ redis, shards, retentionDays: 90, now: Date.now });
      for (let batch = 0; batch < 20; batch++) {
        const writing: Promise<void>[] = [];
        for (let index = 0; index < 1_000; index++) {
          const { id, event } = book(1 + ((batch * 1_000 + index) % 300));
          writing.push(known.note(event, id, true));
          const swept = { updatedAt: event.updatedAt, status: event.status, readAt: Date.now() };
          writing.push(known.keepSwept(event, swept));
        }
        await Promise.all(writing);
      }
      const worker = await startOne();
      expect(await compare("near", 60_000)).toMatchObject({ seen: 20_000, read: 0 });
      writeFileSync(`/proc/${worker.pid}/clear_refs`, RESET_HIGH_WATER_MARK);
      const before = memoryMb(worker.pid, "VmRSS");
      const slices = () =>
        worker.logs.filter(({ queue, result }) => queue === "sweeps" && result === "going on").length;
      const slicesBefore = slices();
      const report = await compare("near", 60_000);
      const grown = memoryMb(worker.pid, "VmHWM") - before;
      expect(report).toMatchObject({ seen: 20_000, read: 0 });
      expect(requestsTo(INVITEES)).toBe(0);
      // A slice of time ends within a page, of which the next one has the rest, after those of its first start once more.
      expect(report.requests).toBeLessThanOrEqual(1 + 200 + 2 * (slices() - slicesBefore));
      process.stdout.write(
        `20,000 unchanged events: ${report.requests} requests, ${Math.round(grown)} MB more memory\n`,
      );
      expect(grown).toBeLessThan(100);
    }),
    720_000,
  );
});

/** See proc(5). */
const RESET_HIGH_WATER_MARK = "5";

function memoryMb(pid: number, field: "VmRSS" | "VmHWM"): number {
  const [, kb] = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kb) / 1_024;
}

describe("the first start beside an account that has bookings", () => {
  const FROM_NOW: Variables = { CALENDLY_PUBLISH_FROM: "" };

  test(
    "publishes nothing of 1,000 bookings, and what happens from then on",
    on(async ({ simulator, outcomes, startOne, compare, book }) => {
      const invitees = Array.from({ length: 1_000 }, (_, index) => book(1 + (index % 300)));
      for (const { id } of invitees.slice(0, 100)) simulator.account.cancel(id);
      await until("they lie before the start", () => Date.now() > Date.parse(invitees.at(-1)?.updatedAt ?? "") + 1_100);
      await startOne(FROM_NOW);
      const report = await compare("near", 60_000);
      expect(report).toMatchObject({ seen: 1_000, read: 1_000, facts: 0, historical: 1_100 });
      expect(await outcomes.all()).toEqual([]);

      const [, , moved] = invitees.slice(98);
      const fresh = book(5);
      if (moved === undefined) throw new Error("there are too few");
      const next = simulator.account.reschedule(moved.id, new Date(Date.now() + 60 * HOUR_MS).toISOString());
      expect(await compare("near")).toMatchObject({ missed: { "invitee.created": 2, "invitee.canceled": 1 } });
      // Both are at times at which others are booked too.
      const told = (await outcomes.all()).filter(({ type }) => type !== "booking.conflict_detected");
      expect(idsOf(told).toSorted()).toEqual([`${fresh.id}.confirmed`, `${next.id}.rescheduled`].toSorted());
    }),
  );

  test.concurrent(
    "can be told for long, and its queue is seen to be worked on meanwhile",
    on(async ({ redis, simulator, outcomes, startOne, compare, book }) => {
      const invitees = Array.from({ length: 15 }, (_, index) => book(2 + index));
      await until("they lie before the start", () => Date.now() > Date.parse(invitees.at(-1)?.updatedAt ?? "") + 1_100);
      await startOne({ ...FROM_NOW, CALENDLY_ENABLE_CACHING: "false" });
      expect(await compare("near")).toMatchObject({ historical: 15 });
      simulator.setFaults({ apiLatencyMs: 500 });
      const jobs = createPendingJobs({ redis, shards, contract: sweeps, log: silent });
      const history = { kind: "history", name: "backfill" } as const;
      await jobs.ensure(shards.first, history, 0);
      await until("some of it is told", async () => (await outcomes.all()).length > 0);
      const toldAt = Date.now();
      const heartbeatAt = async () => (await createHeartbeatStore(redis).last()).get(sweeps.name) ?? 0;
      await until("its queue is seen to be worked on", async () => (await heartbeatAt()) > toldAt);
      expect(await jobs.isPending(shards.first, history)).toBe(true);
      await outcomes.untilThere(invitees.map(({ id }) => `${id}.confirmed`));
      await jobs.close();
    }),
  );

  test.concurrent(
    "is repeated where Redis is emptied under a running worker: what was is history, and what comes is told",
    on(async ({ redis, outcomes, startOne, compare, book }) => {
      const worker = await startOne(FROM_NOW);
      const { url } = await worker.untilLogged("listening");
      const before = book(5);
      await compare("near");
      expect(idsOf(await outcomes.all())).toEqual([`${before.id}.confirmed`]);
      await until("it lies in the past", () => Date.now() > Date.parse(before.updatedAt) + 1_100);
      await emptyRedis(redis);
      await until("it is noticed", async () => {
        await fetch(`${url}/readyz`);
        return worker.logs.some(({ msg }) => msg.startsWith("this Redis was emptied"));
      });
      await until("all is fit again", async () => (await fetch(`${url}/readyz`)).status === 200);
      const fresh = book(7);
      expect(await compare("near")).toMatchObject({ seen: 2, historical: 1, missed: { "invitee.created": 1 } });
      const told = await openOutcomeLog(redis);
      expect(await told.all()).toEqual([]);
      expect(await redis.xlen("{calendly:0}:outcomes")).toBe(1);
      expect(JSON.stringify(await redis.xrange("{calendly:0}:outcomes", "-", "+"))).toContain(`${fresh.id}.confirmed`);
    }),
  );

  test.concurrent(
    "does not publish again what retention removed",
    on(async ({ outcomes, startOne, compare, book }) => {
      await startOne({ CALENDLY_BOOKING_RETENTION_DAYS: "7", CALENDLY_RECONCILE_PAST_DAYS: "60" });
      const [old, recent] = [book(-24 * 9), book(-24 * 2)];
      const report = await compare("past");
      expect(report).toMatchObject({ seen: 2, missed: { "invitee.created": 1 } });
      expect(idsOf(await outcomes.all())).toEqual([`${recent.id}.confirmed`]);
      // It is known to be left out, and not read again and again.
      expect(await compare("past")).toMatchObject({ read: 0 });
      expect(old.event.end < new Date(Date.now() - 7 * DAY_MS).toISOString()).toBe(true);
    }),
  );
});
