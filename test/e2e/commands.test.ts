import { once } from "node:events";
import { userInfo } from "node:os";
import { createInterface } from "node:readline";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { sweeps } from "@calendly-worker/core/queues/contracts";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, credentialReportKey, lookupExpiryKey } from "@calendly-worker/core/redis/keys";
import { createAudit } from "@calendly-worker/core/store/audit";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { createTestDeliveries } from "@calendly-worker/core/store/test-deliveries";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Invitee } from "../simulator/meetings.ts";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess, Variables } from "../support/app-process.ts";
import { type Invitee as Booked, canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { runCommand, startCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { countTries } from "../support/count-tries.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, type OutcomeLog, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";
import { keysLike } from "../support/whole-redis.ts";

const PRIYA = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
const HOUR_MS = 3_600_000;

let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
let outcomes: OutcomeLog;
let ingest: Ingest;
let worker: AppProcess;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  outcomes = await openOutcomeLog(redis);
  simulator = await startSimulator({ seed: 31, rateLimit: 100_000 });
  // History: it is there before the installation begins.
  for (let index = 0; index < 5; index++) book(24 + index);
  await until(
    "a second has passed",
    () => Date.now() > Date.parse(simulator.account.events[4]?.createdAt ?? "") + 1_100,
  );
  ingest = await startIngest(server.url);
  worker = startWorker(server.url, {
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    CALENDLY_PUBLISH_FROM: "",
    CALENDLY_RECONCILE_GRACE: "0",
  });
  await Promise.all([ingest.untilLogged("ready for deliveries"), worker.untilLogged("taking jobs")]);
});

afterAll(async () => {
  disconnect(redis);
  await Promise.all([ingest?.end("SIGKILL"), worker?.end("SIGKILL")]);
  await simulator?.close();
  await server?.stop();
});

const settings = (variables: Variables = {}): Variables => ({
  REDIS_URL: server.url,
  CALENDLY_API_BASE_URL: simulator.url,
  CALENDLY_API_TOKEN: DEMO_TOKEN,
  CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
  CALENDLY_WEBHOOK_BASE_URL: ingest.baseUrl,
  CALENDLY_RECONCILE_GRACE: "0",
  ...variables,
});

async function run(args: readonly string[], variables: Variables = {}, input?: string) {
  const ended = await runCommand(args, settings(variables), input);
  expect(ended.stdout + ended.stderr).not.toMatch(new RegExp(`${SIGNING_KEY}|${DEMO_TOKEN}`));
  return ended;
}

async function json<T>(args: readonly string[], variables: Variables = {}): Promise<T> {
  const { status, stdout, stderr } = await run([...args, "--json"], variables);
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout) as T;
}

function book(inHours: number): Invitee {
  const start = new Date(Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + inHours * HOUR_MS).toISOString();
  return simulator.account.book({ eventType: "intro", start, ...PRIYA });
}

const ids = async () => (await outcomes.all()).map(({ id }) => id);

describe("backfill and reconcile", () => {
  test("history is taken up without a word, and published when somebody agrees, marked", async () => {
    const quiet = await run(["backfill"]);
    expect(quiet).toMatchObject({ status: 0 });
    expect(quiet.stdout).toContain("5 facts are history");
    expect(quiet.stdout).toContain("5 outcomes of 5 bookings of history can be published with --publish.");
    expect(await ids()).toEqual([]);

    const declined = await run(["backfill", "--publish"], {}, "no\n");
    expect(declined).toMatchObject({ status: 0, stdout: expect.stringContaining("Nothing was published.") });
    expect(declined.stderr).toContain("About to publish 5 outcomes of 5 bookings of history");
    // Who cannot be asked has not agreed, nor declined.
    expect(await run(["backfill", "--publish"], {}, "")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("Nobody answered: nothing was published. Where nobody can be asked, --yes"),
    });
    expect(await ids()).toEqual([]);
  });

  test("publishing that is given up fails, and says what is left; the next one publishes it", async () => {
    // So that no booking can be written, while all can be read.
    const expiry = lookupExpiryKey(createShards(1).first);
    await redis.rename(expiry, `${expiry}:aside`);
    await redis.set(expiry, "no sorted set");
    const command = startCommand(["backfill", "--publish", "--yes", "--json"], settings());
    try {
      await until("its job has failed, and is as one that has a single try left", async () => {
        const counted = await countTries(redis, "{calendly:0}:sweeps", sweeps.attempts - 1);
        return counted.some((id) => id.startsWith("history/"));
      });
      const { status, stdout, stderr } = await command.ended;
      expect(JSON.parse(stdout)).toMatchObject({ history: { bookings: 5, outcomes: 5 }, published: 0 });
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringContaining("5 outcomes of 5 bookings of history are left"),
      });
      expect(stderr).toMatch(/^Try \d+ of 50 failed: WRONGTYPE /m);
    } finally {
      await redis.rename(`${expiry}:aside`, expiry);
    }

    const agreed = await run(["backfill", "--publish"], {}, "yes\n");
    expect(agreed.stdout).toContain("Published 5 outcomes.");
    const told = await outcomes.all();
    expect(told).toHaveLength(5);
    expect(told.every(({ data }) => "historical" in data && data.historical === true)).toBe(true);
    expect(await json(["backfill", "--publish"])).toMatchObject({ history: { outcomes: 0 }, published: 0 });
    expect(await outcomes.all()).toHaveLength(5);
  });

  test("a dry run says what is missing, and a run takes it up", async () => {
    const { id } = book(50);
    const dry = await run(["reconcile", "--dry-run"]);
    expect(dry.stdout).toContain("1 of 1 facts are missing");
    expect(await ids()).not.toContain(`${id}.confirmed`);
    const report = await json(["reconcile"]);
    expect(report).toMatchObject({ missed: { "invitee.created": 1 }, isDryRun: false });
    expect(await ids()).toContain(`${id}.confirmed`);
    const bounded = await json(["reconcile", "--from", "2040-01-01T00:00:00Z", "--to", "2041-01-01T00:00:00Z"]);
    expect(bounded).toMatchObject({ seen: 0 });
    expect(await run(["reconcile", "--from", "soon"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("expected a time"),
    });
  });

  test("while the queue is paused it is said what is waited for, once", async () => {
    await run(["queue", "pause", "--queue", "sweeps"]);
    const command = startCommand(["reconcile", "--dry-run"], settings());
    let said = "";
    command.child.stderr?.on("data", (chunk) => {
      said += chunk;
    });
    const warning = "WARNING: the queue sweeps is paused.";
    await until("it is said", () => said.includes(warning));
    await run(["queue", "resume", "--queue", "sweeps"]);
    expect(await command.ended).toMatchObject({ status: 0, stdout: expect.stringContaining("None of") });
    expect(said.split(warning)).toHaveLength(2);
  });

  test("while it fails and is tried again it is said why, once for each try", async () => {
    simulator.setFaults({ api: "down" });
    const command = startCommand(["reconcile", "--dry-run"], settings());
    let said = "";
    command.child.stderr?.on("data", (chunk) => {
      said += chunk;
    });
    const untilTried = (tries: number) =>
      until(`try ${tries} is told of`, () => said.includes(`Try ${tries} of 50 failed: `), { deadlineMs: 30_000 });
    try {
      await untilTried(1);
      await untilTried(2);
    } catch (error) {
      command.child.kill();
      throw error;
    } finally {
      simulator.setFaults({ api: "well" });
    }
    expect(await command.ended).toMatchObject({ status: 0, stdout: expect.stringContaining("None of") });
    expect(said).toMatch(/^Try 1 of 50 failed: Calendly answered 503 to .*\. It is tried again.*Ctrl-C/m);
    expect(said.split("Try 1 of 50")).toHaveLength(2);
    expect(said.split("Try 2 of 50")).toHaveLength(2);
  });

  test("without a worker it is said that nobody would do it", async () => {
    const other = await startRedis();
    const { status, stderr } = await run(["reconcile"], { REDIS_URL: other.url });
    await other.stop();
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining("no worker of this installation lives"),
    });
  });
});

describe("webhooks test", () => {
  test("follows a delivery to its outcome, which is not published", async () => {
    const before = await ids();
    const told = await json<{ outcome: object; inQueueMs: number }>(["webhooks", "test"]);
    expect(told).toMatchObject({ outcome: { type: "booking.confirmed", published: false } });
    const inWords = await run(["webhooks", "test"]);
    expect(inWords.stdout).toMatch(
      /^to the ingest {6}\d+ ms, answered after \d+ ms\nin the queue {7}\d+ ms\nin the worker/,
    );
    expect(await ids()).toEqual(before);
    expect(await keysLike(redis, "{calendly:0}:booking:*")).toHaveLength(6);
    // It says nothing about whether Calendly delivers.
    expect(JSON.stringify(await redis.hgetall("{calendly:0}:signing-keys"))).not.toContain(":last_used");
  });

  test("names the hop that stayed silent", async () => {
    const wrong = { CALENDLY_WEBHOOK_SIGNING_KEY: "another-key-of-a-test" };
    expect(await run(["webhooks", "test"], wrong)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/The way to the ingest is broken.*401 signature_mismatch/),
    });
    await run(["queue", "pause"]);
    expect(await run(["webhooks", "test", "--timeout", "1"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("The worker stayed silent"),
    });
    const resumed = await run(["queue", "resume"]);
    expect(resumed).toMatchObject({ status: 0, stderr: "" });
  });

  test("fails where nothing follows from the delivery", async () => {
    const added = () => keysLike(redis, "{calendly:0}:deliveries:de:test/*");
    const before = await added();
    await run(["queue", "pause"]);
    try {
      const command = startCommand(["webhooks", "test"], settings());
      const key = await until("it is in the queue", async () => (await added()).find((one) => !before.includes(one)));
      // As a worker would that gets no outcome from it.
      const at = Date.now();
      const hops = { receivedAt: at, begunAt: at, endedAt: at, outcomeId: null, outcomeType: null };
      await createTestDeliveries(redis).keep(key.split("/")[1] ?? "", hops);
      expect(await command.ended).toMatchObject({
        status: 1,
        stdout: "",
        stderr: expect.stringContaining("The outcome stayed silent"),
      });
    } finally {
      await run(["queue", "resume"]);
    }
  });

  test("nothing that was captured can be sent again as a test", async () => {
    const body = createdBody(newInvitee());
    const marked = body.replace("{", '{"test":{"id":"0b7a3f52-6c1e-4f3a-8d25-91e4c7b6a001"},');
    expect((await deliver(ingest.webhookUrl, marked, { signature: signatureHeader(body) })).status).toBe(401);
  });
});

describe("verify", () => {
  async function begin(...args: string[]) {
    const [type] = simulator.account.catalog.eventTypes.filter(({ slug }) => slug === "intro");
    const command = startCommand(["verify", "--event-type", type?.uri ?? "", ...args], settings());
    const lines: string[] = [];
    if (command.child.stderr === null) throw new Error("there is no output");
    createInterface({ input: command.child.stderr }).on("line", (line) => lines.push(line));
    const link = await until("the link is there", () => lines.find((line) => line.includes("https://")));
    const reference = new URL(link.trim()).searchParams.get("utm_content");
    const said = (text: string) => until(`"${text}" is said`, () => lines.some((line) => line.includes(text)));
    return { command, reference, said };
  }

  test("is done when Calendly has delivered a booking, its rescheduling and its cancellation", async () => {
    const subscription = simulator.subscribe(ingest.webhookUrl, SIGNING_KEY);
    const { command, reference, said } = await begin("--timeout", "20", "--json");
    const start = (day: number) => new Date(Date.now() + day * 24 * HOUR_MS).toISOString();
    await said("Book an appointment");
    const first = simulator.account.book({
      eventType: "intro",
      start: start(20),
      ...PRIYA,
      tracking: { utm_content: reference },
    });
    await said("Now reschedule");
    const second = simulator.account.reschedule(first.id, start(21));
    await said("Now cancel");
    simulator.account.cancel(second.id);
    const { status, stdout } = await command.ended;
    subscription.state = "disabled";
    expect(status).toBe(0);
    const { passed } = JSON.parse(stdout) as { passed: { type: string; enqueued: string; published: string }[] };
    expect(passed.map(({ type }) => type)).toEqual(["booking.confirmed", "booking.rescheduled", "booking.canceled"]);
    for (const { enqueued, published } of passed) expect(enqueued <= published).toBe(true);
  });

  test("names the hop that stayed silent", async () => {
    const { command, said } = await begin("--timeout", "1");
    await said("Book an appointment");
    const { status, stderr } = await command.ended;
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining("Calendly's delivery stayed silent"),
    });
  });
});

describe("quarantine", () => {
  const quarantine = () => createQuarantine({ redis, shards: createShards(1), retentionDays: 90 });
  const keep = (id: string, body: string) =>
    quarantine().keep({
      id,
      reason: "payload_invalid",
      problems: ["payload.uri: expected"],
      receivedAt: new Date().toISOString(),
      signedWith: "primary",
      body: Buffer.from(body),
    });

  test("is listed and shown without personal data, and replayed or dropped, with a dry run first", async () => {
    const mended = newInvitee();
    await keep(`invitee.created/${mended.id}`, createdBody(mended));
    await keep("body/1", '{"event":"invitee.created","payload":{"email":"somebody@example.org"}}');
    const list = await run(["quarantine", "list"]);
    expect(list.stdout).toContain(`invitee.created/${mended.id}\n  invitee.created, payload_invalid, received 20`);
    const shown = await run(["quarantine", "show", "body/1"]);
    expect(shown.stdout).toContain("{event: string, payload: {email: string}}");
    expect(shown.stdout).not.toContain("somebody@");
    expect((await run(["quarantine", "show", "body/1", "--reveal"])).stdout).toContain("somebody@example.org");
    expect(await run(["quarantine", "show", "nothing"])).toMatchObject({
      status: 1,
      stderr: 'there is no entry "nothing" in quarantine\n',
    });
    expect(await run(["quarantine", "replay"])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("one of the three"),
    });

    const dry = await run(["quarantine", "replay", "--all", "--dry-run"]);
    expect(dry).toMatchObject({ status: 1 });
    expect(dry.stdout).toContain(`would go on as invitee.created (invitee.created/${mended.id})`);
    expect(dry.stdout).toMatch(/body\/1: still unreadable: /);
    expect(await quarantine().count(Date.now())).toBe(2);
    // What is past the retention is there no more, although nothing has come since.
    expect(await quarantine().count(Date.now() + 91 * 86_400_000)).toBe(0);

    await run(["quarantine", "replay", "--type", "invitee.created"]);
    // Made before the installation began: a person has decided that it counts.
    await outcomes.untilThere([`${mended.id}.confirmed`]);
    const told = (await outcomes.all()).find(({ id }) => id === `${mended.id}.confirmed`) as OutcomeEvent;
    expect(told.data).toMatchObject({ origin: "replay" });
    expect(await quarantine().count(Date.now())).toBe(1);
    expect((await run(["quarantine", "drop", "body/1", "--dry-run"])).stdout).toBe("body/1: would be dropped\n");
    expect((await run(["quarantine", "drop", "--all"])).stdout).toBe("body/1: dropped\n");
    expect((await run(["quarantine", "list"])).stdout).toBe("The quarantine is empty.\n");
  });

  test("an entry whose event is past the retention counts when it is replayed", async () => {
    const invitee = newInvitee();
    const old = JSON.parse(createdBody(invitee));
    Object.assign(old.payload.scheduled_event, {
      start_time: "2020-01-01T00:00:00Z",
      end_time: "2020-01-01T00:30:00Z",
    });
    const id = `invitee.created/${invitee.id}`;
    await keep(id, JSON.stringify(old));
    expect(await run(["quarantine", "replay", id])).toMatchObject({ status: 0 });
    await outcomes.untilThere([`${invitee.id}.confirmed`]);
    expect(await quarantine().count(Date.now())).toBe(0);
  });

  /** The body of a delivery that makes no chain: a second successor of one invitee. */
  async function malformedBody(third: Booked): Promise<string> {
    const [first, second] = [newInvitee(), newInvitee()];
    const chain = [createdBody(first), canceledBody(first, { next: second }), createdBody(second, first)];
    for (const body of chain) expect((await deliver(ingest.webhookUrl, body)).status).toBe(200);
    await until("the chain is folded", () => redis.exists(`{calendly:0}:index:${second.id}`));
    return createdBody(third, first);
  }

  /** How often a delivery was quarantined by the worker. */
  const timesQuarantined = (identity: string) =>
    worker.logs.filter((line) => line["identity"]?.toString().endsWith(identity) && line["result"] === "quarantined")
      .length;

  testWhere("a proxy", "an entry that is replayed in vain stays, however slow the command is", async () => {
    const third = newInvitee();
    const id = `invitee.created/${third.id}`;
    await keep(id, await malformedBody(third));
    const proxy = await startTcpProxy(server.port);
    const held = proxy.holdAt("zrem", "before");
    const replaying = run(["quarantine", "replay", id], { REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
    // Where the command deletes something itself, the worker is faster.
    await Promise.race([held, replaying]);
    await until("it is quarantined again", () => timesQuarantined(id) === 1);
    proxy.letGo();
    expect(await replaying).toMatchObject({ status: 0, stdout: `${id}: goes on as invitee.rescheduled (${id})\n` });
    await proxy.close();
    expect(await quarantine().get(id)).toMatchObject({ reason: "chain_malformed", signedWith: "primary" });
    expect(await quarantine().count(Date.now())).toBe(1);
    await quarantine().drop(id);
  });

  test("an entry that could not even be named is kept under its name when it is replayed in vain", async () => {
    const third = newInvitee();
    await keep("body/2", await malformedBody(third));
    await run(["quarantine", "replay", "body/2"]);
    await until("it is quarantined again", () => timesQuarantined(`invitee.created/${third.id}`) === 1);
    expect((await quarantine().list(10)).map(({ id }) => id)).toEqual([`invitee.created/${third.id}`]);
    await quarantine().drop(`invitee.created/${third.id}`);
  });

  test("an entry that is replayed twice before a worker takes it up counts once, and is there until then", async () => {
    const mended = newInvitee();
    const id = `invitee.created/${mended.id}`;
    await keep(id, createdBody(mended));
    await run(["queue", "pause"]);
    for (let times = 0; times < 2; times++)
      expect(await run(["quarantine", "replay", id])).toMatchObject({
        status: 0,
        stdout: `${id}: goes on as invitee.created (${id})\n`,
      });
    expect(await quarantine().count(Date.now())).toBe(1);
    await run(["queue", "resume"]);
    await until("both are done", async () => (await jobCount(redis, createShards(1).first, "deliveries")) === 0);
    expect((await ids()).filter((outcome) => outcome.startsWith(mended.id))).toEqual([`${mended.id}.confirmed`]);
    expect(await quarantine().count(Date.now())).toBe(0);
  });
});

describe("queue", () => {
  test("says what failed, tries it again, and warns while it is paused", async () => {
    await run(["queue", "pause"]);
    const status = await run(["queue", "status"]);
    expect(status.stderr).toContain("WARNING: the queue deliveries is paused.");
    expect(status.stdout).toMatch(/^deliveries +0 +0 +0 +0$/m);
    const { id } = newInvitee();
    const body = createdBody(newInvitee(id));
    expect((await deliver(ingest.webhookUrl, body)).body).toMatchObject({ status: "accepted" });
    expect(await json<object[]>(["queue", "status"])).toContainEqual(
      expect.objectContaining({ queue: "deliveries", waiting: 1, isPaused: true }),
    );
    const plan = await json<object[]>(["queue", "drain-plan", "--seconds", "1"]);
    expect(plan).toContainEqual({ queue: "deliveries", pending: 1, perSecond: 0, emptyInSeconds: null });
    await run(["queue", "resume"]);
    const [resumed, paused] = await createAudit(redis, Date.now).last(2);
    const who = userInfo().username;
    expect(paused).toMatchObject({ who, action: "queue.pause", subject: "deliveries" });
    expect(resumed).toMatchObject({ who, action: "queue.resume", subject: "deliveries" });
    await outcomes.untilThere([`${id}.confirmed`]);

    // A job that can never work.
    await redis.hset(
      "{calendly:0}:deliveries:broken",
      "name",
      "invitee.created",
      "data",
      "{}",
      "opts",
      "{}",
      "timestamp",
      String(Date.now()),
      "delay",
      "0",
      "priority",
      "0",
    );
    await redis
      .multi()
      .lpush("{calendly:0}:deliveries:wait", "broken")
      .zadd("{calendly:0}:deliveries:marker", 0, "0")
      .exec();
    await until("it has failed", async () => (await json<object[]>(["queue", "failed"])).length === 1);
    const failed = await run(["queue", "failed"]);
    expect(failed.stdout).toMatch(
      /^broken\n {2}deliveries: invitee\.created\n {2}given up .*does not fit the contract/,
    );
    expect(await run(["queue", "retry", "broken", "nobody"])).toMatchObject({
      status: 1,
      stdout: "1 jobs are tried again.\n",
      stderr: "1 of them are not among the failed jobs.\n",
    });
    expect(await run(["queue", "retry"])).toMatchObject({
      status: 1,
      stderr: "expected ids or --all: one of the two\n",
    });
    await until("it has failed again", async () => (await json<object[]>(["queue", "failed"])).length === 1);
  });

  test("drops what has failed, one or all, after a dry run, and nothing that waits", async () => {
    await run(["queue", "pause"]);
    const { id } = newInvitee();
    await deliver(ingest.webhookUrl, createdBody(newInvitee(id)));
    const [waiting = ""] = await redis.lrange("{calendly:0}:deliveries:wait", 0, -1);
    const failed = async () => (await json<{ id: string }[]>(["queue", "failed"])).map((job) => job.id);
    expect(await json(["queue", "drop", "--all", "--dry-run"])).toEqual({ dropped: 1, dryRun: true });
    expect((await run(["queue", "drop", "broken", "--dry-run"])).stdout).toBe("1 jobs would be dropped.\n");
    expect(await failed()).toEqual(["broken"]);
    expect(await run(["queue", "drop", "broken", waiting])).toMatchObject({
      status: 1,
      stdout: "1 jobs are dropped.\n",
      stderr: expect.stringContaining("1 of them are not among the failed jobs.\n"),
    });
    expect(await failed()).toEqual([]);
    expect(await keysLike(redis, "*broken*")).toEqual([]);
    expect(await json(["queue", "drop", "--all"])).toEqual({ dropped: 0, dryRun: false });
    for (const choice of [[], ["broken", "--all"]]) {
      expect(await run(["queue", "drop", ...choice])).toMatchObject({
        status: 1,
        stderr: "expected ids or --all: one of the two\n",
      });
    }
    await run(["queue", "resume"]);
    await outcomes.untilThere([`${id}.confirmed`]);
  });
});

describe("bookings and outcomes", () => {
  test("are shown without personal data, unless that is asked for", async () => {
    const list = await json<{ id: string; status: string }[]>(["bookings", "list"]);
    expect(list.length).toBeGreaterThanOrEqual(6);
    expect((await run(["bookings", "list", "--status", "canceled"])).stdout).toMatch(/ {2}canceled {2}/);
    const [first] = list;
    const shown = await run(["bookings", "show", first?.id ?? ""]);
    expect(shown.stdout).toContain(`${first?.id}.confirmed`);
    expect(shown.stdout).not.toContain(PRIYA.email);
    expect((await run(["bookings", "show", first?.id ?? "", "--reveal"])).stdout).toContain(PRIYA.email);
    expect(await run(["bookings", "show", "nobody"])).toMatchObject({
      status: 1,
      stderr: 'no booking is known under "nobody"\n',
    });

    const all = await run(["outcomes", "tail", "--since", "2026-01-01T00:00:00Z", "--no-follow"]);
    expect(all.stdout.trim().split("\n")).toHaveLength((await outcomes.all()).length);
    expect(all.stdout).not.toContain(PRIYA.email);
    expect((await run(["outcomes", "tail", "--no-follow"])).stdout).toBe("");
  });

  test("outcomes are followed until the end", async () => {
    const command = startCommand(["outcomes", "tail", "--json"], settings());
    const { stdout } = command.child;
    if (stdout === null) throw new Error("there is no output");
    const line = once(createInterface({ input: stdout }), "line");
    let isShown = false;
    void line.then(() => {
      isShown = true;
    });
    // It may not have begun to look yet.
    const another = async () => {
      await deliver(ingest.webhookUrl, createdBody(newInvitee()));
      return isShown;
    };
    await until("an outcome is shown", another, { everyMs: 300 });
    const [text] = await line;
    expect(JSON.parse(String(text))).toMatchObject({ specversion: "1.0", type: "booking.confirmed" });
    command.child.kill("SIGINT");
    await command.ended;
  });
});

describe("tokens status", () => {
  const step = async (variables: Variables) =>
    (await json<{ rotation: { step?: number; next: string } }>(["tokens", "status"], variables)).rotation;

  test("says at which step of its rotation a token is, and what comes next", async () => {
    expect(await step({})).toEqual({ next: expect.stringContaining("No rotation is under way") });
    simulator.setToken("heir");
    const both = { CALENDLY_API_TOKEN_SECONDARY: "heir" };
    expect(await step(both)).toMatchObject({ step: 4, next: expect.stringContaining("0 of 4 scopes") });
    const { tokens } = await json<{ tokens: { slot: string; fingerprint: string }[] }>(["tokens", "status"], both);
    const [old, heir] = tokens;
    const yesterday = String(Date.now() - 25 * HOUR_MS);
    const proven = ["users:read", "scheduled_events:read", "event_types:read", "availability:read"];
    const fields = proven.flatMap((scope) => [`${heir?.fingerprint}:scope:${scope}`, String(Date.now())]);
    await redis.hset("{calendly:0}:api:tokens", ...fields, `${heir?.fingerprint}:first_seen`, yesterday);
    expect(await step(both)).toMatchObject({
      step: 5,
      next: expect.stringContaining("Set CALENDLY_API_TOKEN to the value"),
    });
    const promoted = { CALENDLY_API_TOKEN: "heir" };
    expect(await step(promoted)).toMatchObject({ step: 6, next: expect.stringContaining("not safe to revoke") });
    await redis.hset("{calendly:0}:api:tokens", `${old?.fingerprint}:last_used`, String(Date.now() - HOUR_MS));
    expect(await step(promoted)).toMatchObject({ step: 7, next: expect.stringContaining("It is safe now") });
    simulator.setToken("heir", { state: "revoked" });
    await redis.hset("{calendly:0}:api:tokens", `${heir?.fingerprint}:state`, "revoked");
    expect(await step(both)).toMatchObject({ step: 2, next: expect.stringContaining("set another one") });
  });

  interface Status {
    readonly signingKeys: readonly { readonly slot: string; readonly fingerprint: string; readonly verified: number }[];
    readonly advice: readonly { readonly code: string; readonly slot: string }[];
  }
  const ofKeys = async () => await json<Status>(["tokens", "status"]);
  const verify = async (key: string) => {
    const body = createdBody(newInvitee());
    const signature = signatureHeader(body, key);
    expect((await deliver(ingest.webhookUrl, body, { signature })).status).toBe(200);
  };

  test("says what each signing key has verified, and when the old one may go", async () => {
    const newer = "newer-key-not-a-secret";
    await ingest.end();
    ingest = await startIngest(server.url, { CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: newer });
    await ingest.untilLogged("ready for deliveries");
    const before = await ofKeys();
    expect(before.signingKeys).toMatchObject([{ slot: "primary" }, { slot: "secondary", verified: 0 }]);
    expect(before.advice).toMatchObject([{ code: "new_signing_key_not_seen", slot: "secondary" }]);

    await Promise.all([verify(SIGNING_KEY), verify(newer)]);
    const areCounted = async () =>
      (await ofKeys()).signingKeys.every(
        ({ verified }, index) => verified > (before.signingKeys[index]?.verified ?? 0),
      );
    await until("the deliveries are counted", areCounted);
    expect((await ofKeys()).advice).toEqual([]);
    const checked = async (sinceCheck: number) => {
      const signingKeys = (await ofKeys()).signingKeys.map((key) => ({ ...key, verifiedSinceCheck: sinceCheck }));
      const [primary] = signingKeys;
      const report = { checkedAt: new Date().toISOString(), tokens: [], signingKeys: [primary], advice: [] };
      await redis.set(credentialReportKey, JSON.stringify(report));
    };
    await checked(1);
    expect((await ofKeys()).advice).toEqual([]);
    await checked(0);
    expect((await ofKeys()).advice).toMatchObject([{ code: "old_signing_key_may_go", slot: "primary" }]);
    const { stdout } = await run(["tokens", "status"]);
    expect(stdout).toMatch(/^primary signing key \([0-9a-f]{16}\) {2}\d+ deliveries verified, last used 20/m);
    expect(stdout).toMatch(/^secondary signing key \([0-9a-f]{16}\) {2}1 deliveries verified, last used 20/m);
    expect(stdout).toMatch(/^→ No delivery has been verified with the primary signing key .*: it may go\.$/m);
    expect(stdout).not.toContain(newer);
  });

  test("says what the worker's check has found of a token, as long as that is in its place", async () => {
    const { tokens } = await json<{ tokens: { slot: string; fingerprint: string }[] }>(["tokens", "status"]);
    const advice = [{ code: "token_lacks_scope", slot: "primary", message: "The primary token lacks users:read." }];
    const report = { checkedAt: new Date().toISOString(), tokens, signingKeys: [], advice };
    await redis.set(credentialReportKey, JSON.stringify(report));
    expect((await run(["tokens", "status"])).stdout).toContain("→ The primary token lacks users:read.");
    simulator.setToken("another");
    const { stdout } = await run(["tokens", "status"], { CALENDLY_API_TOKEN: "another" });
    expect(stdout).not.toContain("lacks users:read");
  });
});
