import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import type { AppProcess } from "../support/app-process.ts";
import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { deliver } from "../support/deliveries.ts";
import { testWhere } from "../support/limits.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Stack, startStack, startWorker } from "../support/stack.ts";
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
  stack = await startStack(server.url);
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

      const doomed = startWorker(`redis://127.0.0.1:${proxy.port}`);
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

      const successor = startWorker(server.url);
      workers.push(successor);
      await successor.untilLogged("took over a job whose worker went silent");
      await until("the delivery's job has ended", () =>
        successor.logs.some((line) => line.msg === "job ended" && line["queue"] === "deliveries"),
      );
      const ids = (await stack.outcomes.all()).filter(({ subject }) => subject === invitee.id).map(({ id }) => id);
      expect(ids).toEqual([`${invitee.id}.confirmed`, `${invitee.id}.canceled`]);
    });
  }

  test("again and again under load: each outcome once", async () => {
    const invitees = Array.from({ length: 150 }, () => newInvitee());
    await stack.worker.end();
    await Promise.all(invitees.map((invitee) => send(createdBody(invitee))));
    for (let kills = 0; kills < 4; kills++) {
      const worker = startWorker(server.url);
      workers.push(worker);
      await worker.untilLogged("published");
      worker.signal("SIGKILL");
      await worker.exited;
    }
    workers.push(startWorker(server.url));
    const ids = invitees.map(({ id }) => `${id}.confirmed`);
    const events = await stack.outcomes.untilThere(ids, 40_000);
    expect(events.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  });
});

test("a worker that is told to stop finishes its jobs first", async () => {
  const invitees = Array.from({ length: 50 }, () => newInvitee());
  await Promise.all(invitees.map((invitee) => send(createdBody(invitee))));
  await stack.worker.end("SIGTERM");
  expect(await stack.worker.exited).toEqual({ code: 0, signal: null });
  const started = stack.worker.logs.filter((line) => line.msg === "job ended" && line["queue"] === "deliveries");
  expect(started.every((line) => line["result"] === "folded")).toBe(true);
  workers.push(startWorker(server.url));
  const ids = invitees.map(({ id }) => `${id}.confirmed`);
  const events = await stack.outcomes.untilThere(ids);
  expect(events).toHaveLength(ids.length);
});
