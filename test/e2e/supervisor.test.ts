import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { type Restarts, supervise } from "../../apps/supervisor/src/supervise.ts";
import { type AppProcess, startApp, type Variables } from "../support/app-process.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { silent } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY } from "../support/deliveries.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { WEBHOOK_PATH } from "../support/stack.ts";
import { until } from "../support/until.ts";

describe("pnpm start", () => {
  let server: RedisServer;
  let variables: Variables;
  const apps: AppProcess[] = [];

  beforeEach(async () => {
    server = await startRedis();
    variables = {
      REDIS_URL: server.url,
      INGEST_HOST: "127.0.0.1",
      INGEST_PORT: String(await freePort()),
      INGEST_METRICS_PORT: "0",
      WORKER_PORT: "0",
      CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
      CALENDLY_API_TOKEN: "test-token-not-a-secret",
    };
  });

  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.end("SIGTERM")));
    await server.stop();
  });

  const start = (given: Variables) => {
    const app = startApp("supervisor", given);
    apps.push(app);
    return app;
  };
  const pidsOf = (app: AppProcess, program: string) =>
    app.logs.filter((line) => line.msg === "started" && line["program"] === program).map((line) => Number(line["pid"]));
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  test("names everything that is missing in one message and exits 1", async () => {
    const app = start({});
    expect(await app.exited).toEqual({ code: 1, signal: null });
    expect(app.output()).toContain("CALENDLY_API_TOKEN is not set");
    expect(app.output()).toContain("CALENDLY_WEBHOOK_SIGNING_KEY is not set");
    expect(app.logs).toEqual([]);
  });

  test("runs both apps, and ends both when told to", async () => {
    const app = start(variables);
    await Promise.all([app.untilLogged("ready for deliveries"), app.untilLogged("taking jobs")]);
    const answer = await deliver(
      `http://127.0.0.1:${variables["INGEST_PORT"]}${WEBHOOK_PATH}`,
      createdBody(newInvitee()),
    );
    expect(answer.body.status).toBe("accepted");
    await app.untilLogged("published");
    const pids = [...pidsOf(app, "ingest"), ...pidsOf(app, "worker")];
    expect(pids).toHaveLength(2);
    await app.end("SIGTERM");
    expect(await app.exited).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test.each(["ingest", "worker"])("starts a killed %s again", async (program) => {
    const app = start(variables);
    await Promise.all([app.untilLogged("ready for deliveries"), app.untilLogged("taking jobs")]);
    const [pid = 0] = pidsOf(app, program);
    process.kill(pid, "SIGKILL");
    await app.untilLogged("ended unasked, starting it again");
    const [, next = 0] = await until("it was started again", () =>
      pidsOf(app, program).length === 2 ? pidsOf(app, program) : undefined,
    );
    expect(isAlive(next)).toBe(true);
  });

  test("leaves no app behind when it is itself killed", async () => {
    const app = start(variables);
    await Promise.all([app.untilLogged("ready for deliveries"), app.untilLogged("taking jobs")]);
    const pids = [...pidsOf(app, "ingest"), ...pidsOf(app, "worker")];
    await app.end("SIGKILL");
    await until("both apps have ended", () => !pids.some(isAlive));
  });

  test("gives up at once when an app refuses to start", async () => {
    const unsafe = await startRedis({ settings: ["--maxmemory-policy", "allkeys-lru"] });
    const app = start({ ...variables, REDIS_URL: unsafe.url });
    expect((await app.exited).code).toBe(1);
    expect(app.output()).toContain("maxmemory-policy is allkeys-lru");
    expect(app.output()).toContain("a restart would not help");
    expect(pidsOf(app, "ingest").length).toBe(1);
    await unsafe.stop();
  });
});

describe("supervision", () => {
  const RESTARTS: Restarts = { firstDelayMs: 10, longestDelayMs: 40, soundAfterMs: 60_000, mostInARow: 4 };
  const program = (name: string, script: string) => ({ name, args: ["-e", script] });
  const forever = program("steady", "setInterval(() => {}, 1000); process.on('SIGTERM', () => process.exit(0))");

  test("gives everything up when one program fails too often in a row", async () => {
    let starts = 0;
    const counter = createServer((socket) => {
      starts += 1;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await once(counter, "listening");
    const { port } = counter.address() as AddressInfo;
    const broken = program("broken", `net.connect(${port}, '127.0.0.1').on('close', () => process.exit(3))`);
    const supervisor = supervise([forever, broken], RESTARTS, 5_000, silent);
    expect(await supervisor.ended).toBe(false);
    expect(starts).toBe(RESTARTS.mostInARow);
    counter.close();
  });

  test("takes a program that ran long enough as sound again", async () => {
    const { port, heard } = await listenOnce(5);
    const script = `setTimeout(() => { net.connect(${port}, '127.0.0.1', () => process.exit(1)) }, 100)`;
    const restarts = { ...RESTARTS, soundAfterMs: 50, mostInARow: 2 };
    const supervisor = supervise([program("short-lived", script)], restarts, 5_000, silent);
    // Two failures in a row would be the end; here it is started five times.
    await heard;
    supervisor.stop("SIGTERM", 5_000);
    await supervisor.ended;
  });

  test("kills what does not stop within the deadline, and says it was not clean", async () => {
    const { port, heard } = await listenOnce();
    const script = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); net.connect(${port}, '127.0.0.1').on('error', () => {})`;
    const supervisor = supervise([program("deaf", script)], RESTARTS, 5_000, silent);
    await heard;
    supervisor.stop("SIGTERM", 200);
    expect(await supervisor.ended).toBe(false);
  });
});

/** A port of the loopback address, and a promise of the n-th connection to it. */
async function listenOnce(times = 1): Promise<{ port: number; heard: Promise<void> }> {
  const { promise: heard, resolve } = Promise.withResolvers<void>();
  let count = 0;
  const server = createServer((socket) => {
    socket.destroy();
    count += 1;
    if (count < times) return;
    server.close();
    resolve();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, heard };
}
