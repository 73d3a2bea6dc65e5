import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { bodiesOf } from "./bookings.ts";
import type { LoadOptions, LoadResult } from "./load.ts";
import { quantile } from "./stats.ts";

// Sends what it was told to and says how that went. On bare sockets, with bytes that were made before: whoever sends has
// to cost as little as can be, as it shares a machine with what is measured.

const options = JSON.parse(process.argv[2] ?? "") as LoadOptions;
const { count, connections, perSecond, key, duplicates = 0, forged = 0, bodyBytes = 0 } = options;
const url = new URL(options.url);
const TICK_MS = 1;

const { requests, facts } = makeRequests();
const answers: Record<string, number> = {};
const ms: number[] = [];
const waiting: { readonly request: Buffer; readonly since: number }[] = [];
const idle: Socket[] = [];
let begun = 0;

const sockets = await Promise.all(Array.from({ length: connections }, open));
process.send?.("ready");
await once(process, "message");
const startedAt = performance.now();
if (perSecond === undefined) {
  for (const socket of sockets) sendNext(socket);
} else {
  idle.push(...sockets);
  const timer = setInterval(() => {
    const now = performance.now();
    const due = Math.min(count, Math.floor(((now - startedAt) / 1_000) * perSecond));
    for (; begun < due; begun++) waiting.push({ request: requests[begun] as Buffer, since: now });
    if (begun === count) clearInterval(timer);
    // Whoever has been idle longest, or else some would be until the server closes them.
    while (waiting.length > 0 && idle.length > 0) sendWaiting(idle.shift() as Socket);
  }, TICK_MS);
}
while (ms.length < count) await pause(5);
const seconds = (performance.now() - startedAt) / 1_000;
const result: LoadResult = {
  seconds,
  answers,
  facts,
  ms: { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), p999: quantile(ms, 0.999) },
};
process.send?.(result);
process.on("disconnect", () => process.exit());

function makeRequests() {
  const made: Buffer[] = [];
  const genuine: Buffer[] = [];
  for (let index = 0; index < count; index++) {
    // Evenly spread: every second one where the share is a half.
    const is = (share: number) => Math.floor((index + 1) * share) > Math.floor(index * share);
    const repeated = is(duplicates) ? genuine[Math.floor(genuine.length / 2)] : undefined;
    const isForged = is(forged);
    const request = repeated ?? requestOf(bodyOf(index), isForged ? "a key that nobody gave out" : key);
    if (repeated === undefined && !isForged) genuine.push(request);
    made.push(request);
  }
  return { requests: made, facts: genuine.length };
}

function bodyOf(index: number): string {
  // Whoever sends before or after this process has the same times.
  const [body] = bodiesOf(index, undefined, randomUUID());
  const missing = bodyBytes - Buffer.byteLength(body);
  return missing <= 0 ? body : body.replace('"Acme Corp"', `"Acme Corp ${"and sons ".repeat(missing / 9)}"`);
}

function requestOf(body: string, signingKey: string): Buffer {
  const seconds = Math.floor(Date.now() / 1_000);
  const digest = createHmac("sha256", signingKey).update(`${seconds}.${body}`).digest("hex");
  const head = [
    `POST ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    "Content-Type: application/json",
    "User-Agent: Calendly",
    `Calendly-Webhook-Signature: t=${seconds},v1=${digest}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}

/** What the socket is waiting for an answer to. */
function sendNext(socket: Socket): void {
  const request = requests[begun];
  if (request === undefined) return;
  begun += 1;
  send(socket, request, performance.now());
}

function sendWaiting(socket: Socket): void {
  const next = waiting.shift();
  if (next === undefined) idle.push(socket);
  else send(socket, next.request, next.since);
}

function send(socket: Socket, request: Buffer, since: number): void {
  let text = "";
  socket.on("data", read);
  socket.write(request);

  function read(chunk: Buffer): void {
    text += chunk.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
    if (Number.isNaN(length)) throw new Error(`expected an answer with a length, got ${text}`);
    if (text.length < end + 4 + length) return;
    socket.off("data", read);
    ms.push(performance.now() - since);
    const status = text.slice(9, 12);
    answers[status] = (answers[status] ?? 0) + 1;
    if (perSecond === undefined) sendNext(socket);
    else sendWaiting(socket);
  }
}

async function open(): Promise<Socket> {
  const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  await once(socket, "connect");
  socket.on("close", () => {
    if (ms.length < count) throw new Error("the server has closed a connection");
  });
  return socket;
}
