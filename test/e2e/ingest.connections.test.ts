import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { listen, MOST_CONNECTIONS } from "@calendly-worker/core/lifecycle/http-server";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { deliver, signatureHeader } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, scrape, startIngest, WEBHOOK_PATH } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** As many connections are made at the same time: all before the first one's time is over. */
const AT_ONCE = 100;

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  await server?.stop();
});

const sockets: Socket[] = [];
/** Of one test each. */
const ingests: Ingest[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(ingests.splice(0).map((ingest) => ingest.end()));
});

/** A connection on which bytes can be written by hand. */
function open(ingest: Ingest) {
  const socket = connect(Number(new URL(ingest.baseUrl).port), "127.0.0.1");
  sockets.push(socket);
  let received = "";
  let closed = false;
  socket.on("data", (data) => {
    received += data.toString();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  return {
    connected: once(socket, "connect"),
    write: (bytes: string | Buffer) => socket.write(bytes),
    /** Resolves when the system has taken them, or the connection is gone. */
    send: (bytes: string | Buffer) => new Promise<void>((resolve) => void socket.write(bytes, () => resolve())),
    received: () => received,
    isClosed: () => closed,
  };
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

/** A signed delivery as raw bytes, with its body in two parts. */
function delivery() {
  const body = createdBody(newInvitee());
  const head = [
    `POST ${WEBHOOK_PATH} HTTP/1.1`,
    "Host: ingest",
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Calendly-Webhook-Signature: ${signatureHeader(body)}`,
    "",
    "",
  ].join("\r\n");
  return { start: head + body.slice(0, 100), rest: body.slice(100) };
}

describe("what a stranger can send", () => {
  let ingest: Ingest;
  beforeAll(async () => {
    ingest = await startIngest(server.url);
    await ingest.untilLogged("ready for deliveries");
  });
  afterAll(async () => {
    await ingest?.end();
  });

  test.each([
    ["a path that cannot be decoded", 404, "POST /%E0%A4%A HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"],
    ["no host", 400, `POST ${WEBHOOK_PATH} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`],
    [
      "two kinds of length",
      400,
      `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      "two lengths",
      400,
      `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
    ],
    ["no HTTP at all", 400, "\x00\x01\x02\r\n\r\n"],
    ["a header that is too large", 431, `GET ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(20_000)}\r\n\r\n`],
    ["strange generations", 401, `POST ${WEBHOOK_PATH}?g=%00&g=2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`],
    [
      "two signatures",
      401,
      `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nCalendly-Webhook-Signature: t=1,v1=aa\r\nCalendly-Webhook-Signature: t=2\r\nContent-Length: 0\r\n\r\n`,
    ],
    [
      "an announced length beyond all bounds",
      413,
      `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc`,
    ],
    [
      "an expectation",
      417,
      `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\nContent-Length: 3\r\n\r\nabc`,
    ],
    ["TRACE", 405, `TRACE ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ])("%s is answered %i", async (_, status, request) => {
    const connection = open(ingest);
    connection.write(request);
    await until("there is an answer", () => connection.received().includes("\r\n\r\n"));
    expect(statusOf(connection.received())).toBe(status);
    expect(connection.received()).not.toMatch(/ at .*\.js|node_modules|Express/);
    expect((await fetch(`${ingest.baseUrl}/readyz`)).status).toBe(200);
  });

  test("who trickles is cut off: after ten seconds in the headers, after fifteen in the body", async () => {
    const [headers, body] = [open(ingest), open(ingest)];
    const from = performance.now();
    headers.write(`POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nX-Slow: `);
    body.write(delivery().start);
    await until("the one in the headers is cut off", headers.isClosed, { deadlineMs: 20_000 });
    expect(performance.now() - from).toBeGreaterThan(9_500);
    expect(body.isClosed()).toBe(false);
    await until("the one in the body is cut off", body.isClosed, { deadlineMs: 20_000 });
    expect(performance.now() - from).toBeGreaterThan(14_500);
  });
});

test.each([
  ["headers", `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nX-Slow: `],
  ["bodies", `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n`],
])(
  "whoever holds thousands of connections open with %s that do not end keeps no delivery out: the oldest that wait are given up",
  async (_, beginning) => {
    const ingest = await startIngest(server.url, { SHUTDOWN_DEADLINE: "1" });
    ingests.push(ingest);
    await ingest.untilLogged("ready for deliveries");
    const oldest = open(ingest);
    oldest.write(beginning);
    await oldest.connected;
    const others: ReturnType<typeof open>[] = [];
    while (others.length < MOST_CONNECTIONS) {
      const some = Array.from({ length: Math.min(AT_ONCE, MOST_CONNECTIONS - others.length) }, () => open(ingest));
      for (const other of some) other.write(beginning);
      others.push(...some);
      await Promise.all(some.map(({ connected }) => connected));
    }
    for (let count = 0; count < 5; count++) {
      const { start, rest } = delivery();
      const connection = open(ingest);
      connection.write(start + rest);
      await until("the delivery is answered", () => connection.received().includes("accepted"), { deadlineMs: 3_000 });
    }
    // Sooner than a request that does not end is given up.
    await until("the oldest is closed", oldest.isClosed, { deadlineMs: 3_000 });
    const left = others.filter((other) => !other.isClosed()).length;
    expect(left).toBeGreaterThan(MOST_CONNECTIONS - 30);
  },
);

const MB = 1_048_576;

function memoryMb(pid: number, field: "VmRSS" | "VmHWM"): number {
  const [, kb] = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kb) / 1_024;
}

const started: Ingest[] = [];
afterEach(async () => {
  for (const ingest of started.splice(0)) await ingest.end("SIGKILL");
});
async function startOne(): Promise<Ingest> {
  const ingest = await startIngest(server.url);
  started.push(ingest);
  await ingest.untilLogged("ready for deliveries");
  return ingest;
}

test("whoever sends hundreds of large bodies but for their last byte neither fills the memory nor keeps a delivery out", async () => {
  const ingest = await startOne();
  const beginning = Buffer.concat([
    Buffer.from(`POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: ${MB}\r\n\r\n`),
    Buffer.alloc(MB - 1, "x"),
  ]);
  const before = memoryMb(ingest.pid, "VmRSS");
  const strangers: ReturnType<typeof open>[] = [];
  for (let count = 0; count < 400; count++) {
    const genuine = count % 20 === 0 ? { ...delivery(), ...open(ingest) } : undefined;
    await genuine?.send(genuine.start);
    const stranger = open(ingest);
    strangers.push(stranger);
    await stranger.send(beginning);
    if (genuine === undefined) continue;
    genuine.write(genuine.rest);
    await until("the delivery is answered", () => genuine.received().includes("accepted"), { deadlineMs: 3_000 });
  }
  const grown = memoryMb(ingest.pid, "VmHWM") - before;
  process.stdout.write(`400 bodies of 1 MiB that do not end: ${Math.round(grown)} MB more memory\n`);
  // A pod may have 384Mi, of which it uses 120 at rest.
  expect(grown).toBeLessThan(200);
  // Sooner than a request that does not end is given up, and only as many as must be.
  await until("the oldest are closed", () => strangers.slice(0, 300).every((stranger) => stranger.isClosed()), {
    deadlineMs: 3_000,
  });
  const newest = strangers.slice(-20);
  for (const stranger of newest) stranger.write("x");
  await until("the newest are answered", () => newest.every((stranger) => statusOf(stranger.received()) === 401));
  const metrics = await scrape((await ingest.untilLogged("telling metrics"))["url"]);
  const [, givenUp] = /^calendly_unread_bodies_total\{reason="given_up"\} (\d+)$/m.exec(metrics) ?? [];
  expect(Number(givenUp)).toBeGreaterThanOrEqual(300);
}, 60_000);

test("a delivery in chunks of one byte each is read, and costs little more than its bytes", async () => {
  const ingest = await startOne();
  // What comes after the value says nothing.
  const body = createdBody(newInvitee()).padEnd(MB / 2, " ");
  const before = memoryMb(ingest.pid, "VmRSS");
  const connection = open(ingest);
  connection.write(
    `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nCalendly-Webhook-Signature: ${signatureHeader(body)}\r\n\r\n`,
  );
  connection.write(body.replaceAll(/./g, "1\r\n$&\r\n").concat("0\r\n\r\n"));
  await until("the delivery is answered", () => connection.received().includes("accepted"), { deadlineMs: 15_000 });
  const grown = memoryMb(ingest.pid, "VmHWM") - before;
  process.stdout.write(`Half a million chunks of one byte: ${Math.round(grown)} MB more memory\n`);
  expect(grown).toBeLessThan(100);
}, 60_000);

test("whoever does not take their answer is given up as well", async () => {
  const answer = Buffer.alloc(32 * 1_048_576);
  const server = await listen((_, res) => res.end(answer), { host: "127.0.0.1", port: 0, most: 3 });
  const greedy = Array.from({ length: 3 }, () => connect(Number(new URL(server.url).port), "127.0.0.1").pause());
  sockets.push(...greedy);
  for (const socket of greedy) {
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "readable");
  }
  const { status } = await fetch(server.url);
  expect(status).toBe(200);
  await server.close(0);
});

describe("an ingest that is told to stop", () => {
  const start = async (deadlineSeconds: number, delaySeconds = 0) => {
    const ingest = await startIngest(server.url, {
      SHUTDOWN_DEADLINE: String(deadlineSeconds),
      SHUTDOWN_DELAY: String(delaySeconds),
      LOG_LEVEL: "debug",
    });
    await ingest.untilLogged("ready for deliveries");
    return ingest;
  };

  test("finishes the request that is in flight, says that it closes the connection, and ends", async () => {
    const ingest = await start(20);
    const { start: beginning, rest } = delivery();
    const connection = open(ingest);
    connection.write(beginning);
    // Another request on another connection shows that the first one has been read as far as it goes.
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);

    ingest.signal("SIGTERM");
    await ingest.untilLogged("stopping");
    const isRefused = () =>
      fetch(`${ingest.baseUrl}/readyz`).then(
        () => false,
        () => true,
      );
    await until("no other connection is taken", isRefused);
    connection.write(rest);
    await until("the delivery is answered", () => connection.received().includes("accepted"));
    expect(statusOf(connection.received())).toBe(200);
    expect(connection.received()).toContain("Connection: close");
    expect(await ingest.exited).toEqual({ code: 0, signal: null });
  });

  test("does not wait for a client that keeps its connection open and says nothing", async () => {
    const ingest = await start(20);
    const connection = open(ingest);
    connection.write(`GET ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until("there is an answer", () => connection.received().includes("ready"));
    const from = performance.now();
    await ingest.end("SIGTERM");
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(await ingest.exited).toEqual({ code: 0, signal: null });
  });

  test("does not wait for a client that has not finished its header", async () => {
    const ingest = await start(20);
    const connection = open(ingest);
    connection.write(`POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nX-Slow: `);
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
    const from = performance.now();
    await ingest.end("SIGTERM");
    expect(performance.now() - from).toBeLessThan(8_000);
    expect(await ingest.exited).toEqual({ code: 0, signal: null });
    expect(connection.received()).toBe("");
  });

  test("is not ready and takes deliveries all the same for as long as it was given to", async () => {
    const ingest = await start(20, 10);
    const from = performance.now();
    ingest.signal("SIGTERM");
    await until("it is not ready", async () => (await fetch(`${ingest.baseUrl}/readyz`)).status === 503);
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
    expect(await ingest.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - from).toBeGreaterThan(10_000);
  });

  test("cuts off a client that never finishes, at its deadline", async () => {
    const ingest = await start(1);
    const connection = open(ingest);
    connection.write(delivery().start);
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
    await ingest.end("SIGTERM");
    expect(await ingest.exited).toEqual({ code: 0, signal: null });
    await until("the connection is closed", connection.isClosed);
    expect(connection.received()).toBe("");
  });
});
