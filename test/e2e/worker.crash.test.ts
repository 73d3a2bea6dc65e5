import { createShards, hostBookingsKey } from "@calendly-worker/core/redis/keys";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { DEMO_TOKEN, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess } from "../support/app-process.ts";
import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { runCommand } from "../support/cli.ts";
import { deliver } from "../support/deliveries.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, SHORT_LOCKS, type Stack, startStack, startWorker } from "../support/stack.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

/** Only the commit of a booking names this key. */
const COMMIT = "{calendly:0}:incomplete";

let server: RedisServer;
let stack: Stack;
let proxy: TcpProxy;
const workers: AppProcess[] = [];

beforeEach(async () => {
  server = await startRedis();
  stack = await startStack(server.url, SHORT_LOCKS);
  proxy = await startTcpProxy(server.port);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.end("SIGKILL")));
  await stack.stop();
  await proxy.close();
  await server.stop();
});

const send = (body: string) => deliver(stack.ingest.webhookUrl, body);

describe("a worker that is killed in the middle of a job", () => {
  for (const when of ["before", "after"] as const) {
    testWhere("a proxy", `${when} its commit reached Redis: another one gives each outcome once`, async () => {
      // The scripts are known to Redis from here on, so that the commit is one command.
      const warmUp = newInvitee();
      await send(createdBody(warmUp));
      await stack.outcomes.untilThere([`${warmUp.id}.confirmed`]);
      await stack.worker.end();

      const doomed = startWorker(`redis://127.0.0.1:${proxy.port}`, SHORT_LOCKS);
      workers.push(doomed);
      await doomed.untilLogged("taking jobs");
      const held = proxy.holdAt(COMMIT, when);
      const invitee = newInvitee();
      await send(canceledBody(invitee));
      await held;
      doomed.signal("SIGKILL");
      await doomed.exited;
      expect((await stack.outcomes.all()).filter(({ subject }) => subject === invitee.id)).toHaveLength(
        when === "before" ? 0 : 2,
      );

      const successor = startWorker(server.url, SHORT_LOCKS);
      workers.push(successor);
      await successor.untilLogged("took over a job whose worker went silent");
      await until("the delivery's job has ended", () =>
        successor.logs.some((line) => line.msg === "job ended" && line["queue"] === "deliveries"),
      );
      const ids = (await stack.outcomes.all()).filter(({ subject }) => subject === invitee.id).map(({ id }) => id);
      expect(ids).toEqual([`${invitee.id}.confirmed`, `${invitee.id}.canceled`]);
    });
  }

  testWhere(
    "a proxy",
    "after the commit of what it asked Calendly for: another one does what was left to do",
    async () => {
      const simulator = await startSimulator({ seed: 7 });
      try {
        await stack.worker.end();
        const asking = {
          ...SHORT_LOCKS,
          CALENDLY_API_BASE_URL: simulator.url,
          CALENDLY_API_TOKEN: DEMO_TOKEN,
          CALENDLY_MISSING_HALF_GRACE: "2",
        };
        const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
        const first = simulator.account.book({ ...person, eventType: "intro", start: "2030-01-02T15:00:00Z" });
        const second = simulator.account.reschedule(first.id, "2030-01-03T15:00:00Z");
        const [old] = simulator.account
          .history()
          .filter(({ event, payload }) => event === "invitee.canceled" && payload["uri"] === first.uri)
          .map(bodyOf);
        /** Which event its host's time is taken for. */
        const hosted = async () => {
          const [{ uri } = { uri: "" }] = second.event.hosts;
          const host = uri.slice(uri.lastIndexOf("/") + 1);
          const entry = await stack.redis.hget(hostBookingsKey(createShards(1).first, host), first.id);
          const { taken } = JSON.parse(entry ?? "{}");
          return taken === undefined ? undefined : (JSON.parse(taken).eventUri as string);
        };

        const before = startWorker(server.url, asking);
        workers.push(before);
        await send(String(old));
        await stack.outcomes.untilThere([`${first.id}.confirmed`]);
        await before.end();

        const held = proxy.holdAt(COMMIT, "after");
        const doomed = startWorker(`redis://127.0.0.1:${proxy.port}`, asking);
        workers.push(doomed);
        await held;
        doomed.signal("SIGKILL");
        await doomed.exited;
        await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
        expect(await hosted()).toBeUndefined();

        const successor = startWorker(server.url, asking);
        workers.push(successor);
        await until("the new one takes its time", async () => (await hosted()) === second.event.uri);
      } finally {
        await simulator.close();
      }
    },
  );

  testWhere("a proxy", "before it put back what it took out of quarantine in vain: another one does", async () => {
    const shards = createShards(1);
    const quarantine = createQuarantine({ redis: stack.redis, shards, retentionDays: 90 });
    // A second successor of one invitee makes no chain.
    const [first, second, third] = [newInvitee(), newInvitee(), newInvitee()];
    const [id, body] = [`invitee.created/${third.id}`, createdBody(third, first)];
    for (const one of [createdBody(first), canceledBody(first, { next: second }), createdBody(second, first)])
      await send(one);
    await stack.outcomes.untilThere([`${second.id}.rescheduled`]);
    await stack.worker.end();
    const receivedAt = new Date().toISOString();
    await quarantine.keep({ id, reason: "payload_invalid", problems: [], receivedAt, body: Buffer.from(body) });

    const doomed = startWorker(`redis://127.0.0.1:${proxy.port}`, SHORT_LOCKS);
    workers.push(doomed);
    await doomed.untilLogged("taking jobs");
    const held = proxy.holdAt("chain_malformed", "before");
    expect(await runCommand(["quarantine", "replay", id], { REDIS_URL: server.url })).toMatchObject({ status: 0 });
    await held;
    expect(await quarantine.get(id)).toBeUndefined();
    doomed.signal("SIGKILL");
    await doomed.exited;

    workers.push(startWorker(server.url, SHORT_LOCKS));
    await until("it is there again", () => quarantine.get(id));
    expect(await quarantine.get(id)).toMatchObject({ reason: "chain_malformed", body: Buffer.from(body) });
  });

  test("again and again under load: each outcome once", async () => {
    const invitees = Array.from({ length: 300 }, () => newInvitee());
    await stack.worker.end();
    await Promise.all(invitees.map((invitee) => send(createdBody(invitee))));
    for (let kills = 0; kills < 4; kills++) {
      // One after the other, so that there is something left for those who come later.
      const worker = startWorker(server.url, { ...SHORT_LOCKS, WORKER_CONCURRENCY: "1" });
      workers.push(worker);
      await worker.untilLogged("published");
      worker.signal("SIGKILL");
      await worker.exited;
    }
    workers.push(startWorker(server.url, SHORT_LOCKS));
    const ids = invitees.map(({ id }) => `${id}.confirmed`);
    const events = await stack.outcomes.untilThere(ids, 40_000);
    expect(events.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  });
});

testWhere("a proxy", "a worker that is told to stop finishes its jobs first", async () => {
  await stack.worker.end();
  const worker = startWorker(`redis://127.0.0.1:${proxy.port}`);
  workers.push(worker);
  await worker.untilLogged("taking jobs");
  const warmUp = newInvitee();
  await send(createdBody(warmUp));
  await stack.outcomes.untilThere([`${warmUp.id}.confirmed`]);

  const held = proxy.holdAt(COMMIT, "before");
  const invitee = newInvitee();
  await send(createdBody(invitee));
  await held;
  worker.signal("SIGTERM");
  await worker.untilLogged("stopping");
  proxy.letGo();
  expect(await worker.exited).toEqual({ code: 0, signal: null });
  expect((await stack.outcomes.all()).map(({ id }) => id)).toContain(`${invitee.id}.confirmed`);
  expect(await stack.redis.llen("{calendly:0}:deliveries:active")).toBe(0);
});
