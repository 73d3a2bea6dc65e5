import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { afterAll, beforeAll, expect } from "@jest/globals";
import type { Invitee } from "../simulator/meetings.ts";
import { createRandom } from "../simulator/random.ts";
import { type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import { testWhere } from "../support/limits.ts";
import { inDatabase } from "../support/redis-address.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, SHORT_LOCKS, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const KILLER = new URL("../support/kill-at.ts", import.meta.url).href;
const shards = createShards(1);
/** Redis has this many databases, and each story needs one of its own. */
const AT_ONCE = 4;
/** KILL_POINTS=200 for a long form. */
const POINTS = Number(process.env["KILL_POINTS"] ?? 20);
const SEED = Number(process.env["KILL_SEED"] ?? Math.floor(Date.now() / 86_400_000));
/** Of the job that is looked at; so many deliveries are sent to an ingest. */
const COMMANDS = { job: 25, enqueue: 4 };

let server: RedisServer;
let simulator: Simulator;
let story: ReturnType<typeof playStory>;

beforeAll(async () => {
  server = await startRedis();
  simulator = await startSimulator({ seed: 5_511 });
  story = playStory();
});

afterAll(async () => {
  await simulator?.close();
  await server?.stop();
});

/** A booking that is moved onto the time of another one, and is canceled only in the other's absence. */
function playStory() {
  const { account } = simulator;
  const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
  const other = account.book({ ...person, eventType: "panel", start: "2030-01-02T15:00:00Z" });
  const form = account.submitRoutingForm([{ question: "Team size", answer: "9" }], "intro");
  const first = account.book({
    ...person,
    eventType: "intro",
    start: "2030-01-03T15:00:00Z",
    routingFormSubmission: form,
  });
  const second = account.reschedule(first.id, "2030-01-02T15:15:00Z");
  const third = account.reschedule(second.id, "2030-01-04T15:15:00Z");
  const pair = [first.id, other.id].toSorted().join("+");
  return { other, form, first, second, third, conflict: `${pair}.conflict.${second.event.start}` };
}

function bodies({ uri }: Pick<Invitee, "uri">, event?: string): string[] {
  const happenings = simulator.account.history().filter(({ payload }) => payload["uri"] === uri);
  return happenings.filter((happening) => event === undefined || happening.event === event).map(bodyOf);
}

async function enqueue(redis: Redis, all: readonly string[]): Promise<void> {
  const options = { redis, contract: deliveries, deduplicationMs: 60_000, deadlineMs: 5_000 };
  const producer = createProducer(options);
  for (const body of all) {
    const { identity } = readDelivery(Buffer.from(body));
    const receivedAt = new Date().toISOString();
    await producer.enqueue(shards.first, "invitee.rescheduled", { identity, body, receivedAt, origin: "webhook" });
  }
}

const untilIdle = (redis: Redis) =>
  until("all deliveries are done", async () => (await jobCount(redis, shards.first, "deliveries")) === 0);

const idsIn = async (redis: Redis) =>
  (await readOutcomes(redis, shards.first, "0", 1_000)).map(({ event }) => event.id);

/** Kills a worker at that point of a job, lets another one go on; whether it came that far. */
async function killAt(point: number, when: "before" | "after", database: number): Promise<boolean> {
  const url = inDatabase(server.url, database);
  const redis = await connectRedis(url);
  const running: AppProcess[] = [];
  const start = (variables: Record<string, string> = {}, options: string[] = []) => {
    const worker = startWorker(url, { ...SHORT_LOCKS, ...variables }, options);
    running.push(worker);
    return worker;
  };
  try {
    await redis.flushdb();
    const prepare = start();
    await prepare.untilLogged("taking jobs");
    // The conflict's other side is there; the new half and the form wait for the booking.
    await enqueue(redis, [
      ...bodies(story.other),
      ...bodies(story.second, "invitee.created"),
      ...bodies({ uri: story.form }),
    ]);
    await untilIdle(redis);
    await prepare.end("SIGKILL");

    const doomed = start({ KILL_AT: String(point), KILL_WHEN: when }, ["--import", KILLER]);
    // The job that asks for the first invitee has commands of the same kind, and may come before.
    await Promise.race([doomed.untilLogged("taking jobs").catch(() => {}), doomed.exited]);
    await enqueue(redis, bodies(story.first, "invitee.canceled"));
    const killed = await Promise.race([doomed.exited.then(() => true), untilIdle(redis).then(() => false)]);
    await doomed.end("SIGKILL");

    // Whatever was told is known as told, and the reverse.
    const bookings = createBookingStore({
      redis,
      shards,
      retentionDays: 90,
      referenceField: "utm_content",
      now: Date.now,
    });
    const { booking } = await bookings.load(story.first.id);
    const ofBooking = (await idsIn(redis)).filter((id) => !id.includes(".conflict.") && !id.startsWith(story.other.id));
    expect(ofBooking).toEqual([...booking.published, ...booking.registers]);

    const successor = start();
    await successor.untilLogged("taking jobs");
    await untilIdle(redis);
    const ids = (await idsIn(redis)).toSorted();
    const { other, first, second, conflict } = story;
    const expected = [
      `${other.id}.confirmed`,
      `${first.id}.confirmed`,
      `${second.id}.rescheduled`,
      `${conflict}.detected`,
    ];
    expect(ids).toEqual(expected.toSorted());
    // What waited was taken up.
    expect(await bookings.waitingFor(first.id)).toEqual([]);
    return killed;
  } finally {
    await Promise.all(running.map((worker) => worker.end("SIGKILL")));
    disconnect(redis);
  }
}

/** Kills an ingest at that delivery's enqueuing, delivers all again to another one; whether it came that far. */
async function killIngestAt(point: number, when: Point["when"], database: number): Promise<boolean> {
  const url = inDatabase(server.url, database);
  const redis = await connectRedis(url);
  const running: AppProcess[] = [];
  const start = async (variables = {}, options: string[] = []) => {
    const ingest = await startIngest(url, variables, options);
    running.push(ingest);
    await ingest.untilLogged("ready for deliveries");
    return ingest.webhookUrl;
  };
  try {
    await redis.flushdb();
    const invitees = Array.from({ length: COMMANDS.enqueue }, () => newInvitee());
    const doomed = await start({ KILL_OF: "enqueue", KILL_AT: String(point), KILL_WHEN: when }, ["--import", KILLER]);
    const answers = [];
    for (const invitee of invitees) answers.push(await deliver(doomed, createdBody(invitee)).catch(() => undefined));
    const successor = await start();
    for (const invitee of invitees) expect((await deliver(successor, createdBody(invitee))).status).toBe(200);
    const worker = startWorker(url);
    running.push(worker);
    await worker.untilLogged("taking jobs");
    await untilIdle(redis);
    expect((await idsIn(redis)).toSorted()).toEqual(invitees.map(({ id }) => `${id}.confirmed`).toSorted());
    return answers.includes(undefined);
  } finally {
    await Promise.all(running.map((app) => app.end("SIGKILL")));
    disconnect(redis);
  }
}

interface Point {
  readonly of: keyof typeof COMMANDS;
  readonly at: number;
  readonly when: "before" | "after";
}

/** Tries all of them, and gives how many were reached: jobs differ in how many commands they need. */
async function killAtAll(points: readonly Point[]): Promise<number> {
  let killed = 0;
  for (let from = 0; from < points.length; from += AT_ONCE) {
    const batch = points.slice(from, from + AT_ONCE);
    const results = await Promise.all(
      batch.map(({ of, at, when }, index) => (of === "job" ? killAt : killIngestAt)(at, when, index + 1)),
    );
    killed += results.filter(Boolean).length;
  }
  return killed;
}

testWhere(
  "several databases",
  `killed at ${POINTS} random commands to Redis, before or after them, neither app leaves anything half done (seed ${SEED})`,
  async () => {
    const random = createRandom(SEED);
    const points = Array.from({ length: POINTS }, (): Point => {
      const of = random.pick(["job", "job", "job", "enqueue"] as const);
      return { of, at: random.whole(1, COMMANDS[of]), when: random.pick(["before", "after"] as const) };
    });
    const killed = await killAtAll(points);
    process.stdout.write(`killed at ${killed} of ${POINTS} points: lost 0, doubled 0\n`);
    // Fewer would mean that the commands are not counted.
    expect(killed).toBeGreaterThan(POINTS * 0.8);
  },
  180_000 + POINTS * 30_000,
);
