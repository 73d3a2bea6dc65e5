import { once } from "node:events";
import { connect } from "node:net";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import fc from "fast-check";
import { SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { type Ingest, WEBHOOK_PATH } from "../support/stack.ts";
import { payload } from "./payloads.ts";

/** Stands in whatever is sent, and must come back in nothing that is refused. */
const CANARY = "canary7c1f";
/** A server that has nothing to say for so long waits for more bytes. */
const QUIET_MS = 25;
const ANSWER_MS = 20_000;
/** Comes last, so that a server that can still follow closes the connection. */
const LAST = "GET /livez HTTP/1.1\r\nHost: ingest\r\nConnection: close\r\n\r\n";

/** One request, as bytes, and what may come of it. */
interface Sent {
  readonly bytes: Buffer;
  /** The identity of what it tells, where it is signed rightly. */
  readonly signed?: string;
}

const method = fc.oneof(
  { weight: 8, arbitrary: fc.constant("POST") },
  fc.constantFrom("GET", "PUT", "HEAD", "OPTIONS", "TRACE", "PRI", "post", "POST\t", "M-SEARCH", "BREW"),
);
const target = fc.oneof(
  { weight: 8, arbitrary: fc.constant(WEBHOOK_PATH) },
  fc.constantFrom(
    `${WEBHOOK_PATH}?g=${CANARY}`,
    `${WEBHOOK_PATH}?g=1&g=2&g[]=3&__proto__[a]=1`,
    `${WEBHOOK_PATH}/`,
    `/${WEBHOOK_PATH}`,
    WEBHOOK_PATH.toUpperCase(),
    `http://elsewhere.example${WEBHOOK_PATH}`,
    `/x/..${WEBHOOK_PATH}`,
    "/%E0%A4%A",
    `/%00${CANARY}`,
    "/readyz",
    "/livez",
    "/metrics",
    "/ops",
    "*",
    "",
    `/${"a".repeat(9_000)}`,
    `/${CANARY}\r\nX-Split: 1`,
  ),
);
const version = fc.oneof(
  { weight: 12, arbitrary: fc.constant("HTTP/1.1") },
  fc.constantFrom("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "http/1.1", "", "HTTP/1.1 "),
);
const extraHeader = fc.constantFrom(
  "Content-Type: application/json",
  "Content-Type: multipart/form-data; boundary=x",
  "Content-Encoding: gzip",
  "Expect: 100-continue",
  "Expect: something",
  "Connection: close",
  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
  "X-Forwarded-For: 127.0.0.1",
  `X-${CANARY}: ${CANARY}`,
  "X-Folded: a\r\n b",
  "X-Null: a\u0000b",
  "X Space: a",
  ": nameless",
  "Transfer-Encoding : chunked",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding:\u000bchunked",
  "Content-Length: 1",
  "Content-Length: +5",
  "Content-Length: 0x10",
  "Content-Length: 99999999999999999999",
  "Trailer: Calendly-Webhook-Signature",
  `X-Long: ${"b".repeat(17_000)}`,
);
/** How the body's length is told. */
const framing = fc.oneof(
  { weight: 8, arbitrary: fc.constant("length" as const) },
  { weight: 4, arbitrary: fc.constant("chunked" as const) },
  fc.constantFrom("too short" as const, "too long" as const, "none" as const, "both" as const, "bad chunks" as const),
);
const signature = fc.oneof(
  { weight: 4, arbitrary: fc.constant("right" as const) },
  fc.constantFrom("none" as const, "other key" as const, "other body" as const, "stale" as const, "noise" as const),
);

const request: fc.Arbitrary<Sent> = fc
  .record({
    method,
    target,
    version,
    extra: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(extraHeader, { maxLength: 2 })),
    framing,
    signature,
    body: payload,
    chunk: fc.integer({ min: 1, max: 3_000 }),
  })
  .map((one) => {
    const { body } = one;
    const chunked = Buffer.from(chunks(body, one.chunk));
    const [headers, content] = {
      length: [[`Content-Length: ${body.length}`], body] as const,
      chunked: [["Transfer-Encoding: chunked"], chunked] as const,
      "too short": [[`Content-Length: ${Math.max(0, body.length - 5)}`], body] as const,
      "too long": [[`Content-Length: ${body.length + 7}`], body] as const,
      none: [[], body] as const,
      both: [[`Content-Length: ${body.length}`, "Transfer-Encoding: chunked"], chunked] as const,
      "bad chunks": [
        ["Transfer-Encoding: chunked"],
        Buffer.from(`zz\r\n${body.toString("latin1")}\r\n0\r\n\r\n`),
      ] as const,
    }[one.framing];
    const head = [
      `${one.method} ${one.target} ${one.version}`,
      "Host: ingest",
      ...headers,
      ...one.extra,
      ...signatureOf(one.signature, body),
      "",
      "",
    ].join("\r\n");
    const bytes = Buffer.concat([Buffer.from(head, "latin1"), content]);
    return one.signature === "right" ? { bytes, signed: readDelivery(body).identity } : { bytes };
  });

function chunks(body: Buffer, size: number): Uint8Array {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

function signatureOf(kind: "right" | "none" | "other key" | "other body" | "stale" | "noise", body: Buffer): string[] {
  const name = "Calendly-Webhook-Signature";
  switch (kind) {
    case "right":
      return [`${name}: ${signatureHeader(body)}`];
    case "none":
      return [];
    case "other key":
      return [`${name}: ${signatureHeader(body, "a key that nobody gave out")}`];
    case "other body":
      return [`${name}: ${signatureHeader(Buffer.concat([body, Buffer.from(" ")]))}`];
    case "stale":
      return [`${name}: ${signatureHeader(body, SIGNING_KEY, 1)}`];
    case "noise":
      return [`${name}: t=${CANARY},v1=\u00ff,,=`, `${name}: v1=`];
  }
}

/** What comes on one connection: requests one behind the other, in pieces, and then nothing more. */
const conversation = fc.record({
  requests: fc.array(request, { minLength: 1, maxLength: 3 }),
  /** The bytes come in so many pieces. */
  pieces: fc.constantFrom(1, 1, 1, 2, 5),
});

/** Deliveries sent as Calendly sends them, whatever their body. */
const genuine = payload.map(
  (body): Sent => ({
    bytes: Buffer.concat([
      Buffer.from(
        `POST ${WEBHOOK_PATH} HTTP/1.1\r\nHost: ingest\r\nConnection: close\r\nContent-Length: ${body.length}\r\n${signatureOf("right", body)}\r\n\r\n`,
      ),
      body,
    ]),
    signed: readDelivery(body).identity,
  }),
);

export interface WireFuzz {
  /** Nothing that is sent is answered 5xx, taken without a right signature, or repeated in an answer. */
  readonly strangersAreHeldOff: fc.IAsyncProperty<unknown>;
  /** Whatever is signed rightly is answered 200. */
  readonly theGenuineIsTaken: fc.IAsyncProperty<unknown>;
  /** Identities that were signed rightly. */
  readonly signed: ReadonlySet<string>;
  /** How many answers there were, by status. */
  readonly answers: ReadonlyMap<number, number>;
}

export function fuzzWire(ingest: Ingest): WireFuzz {
  const port = Number(new URL(ingest.baseUrl).port);
  const signed = new Set<string>();
  const answers = new Map<number, number>();

  async function talk(requests: readonly Sent[], pieces: number, quietMs: number): Promise<Answer[]> {
    for (const { signed: identity } of requests) if (identity !== undefined) signed.add(identity);
    const raw = await exchange(port, Buffer.concat(requests.map(({ bytes }) => bytes)), { pieces, quietMs });
    const all = answersIn(raw);
    for (const { status } of all) answers.set(status, (answers.get(status) ?? 0) + 1);
    return all;
  }

  return {
    signed,
    answers,
    strangersAreHeldOff: fc.asyncProperty(conversation, async ({ requests, pieces }) => {
      const all = await talk([...requests, { bytes: Buffer.from(LAST) }], pieces, QUIET_MS);
      const rightly = requests.filter((one) => one.signed !== undefined).length;
      const taken = all.filter(({ body }) => body.includes('"id":')).length;
      if (taken > rightly) throw new Error(`${taken} deliveries were taken, and ${rightly} were signed`);
      for (const { status, head, body } of all) {
        if (status >= 500) throw new Error(`answered ${status}: ${body}`);
        if (status !== 200 && `${head}${body}`.includes(CANARY)) throw new Error(`what was sent came back: ${body}`);
        if (/^(server|x-powered-by):/im.test(head)) throw new Error(`the answer names its maker: ${head}`);
        if (/\bat .*\.[jt]s:\d/.test(body)) throw new Error(`the answer holds a stack: ${body}`);
      }
    }),
    theGenuineIsTaken: fc.asyncProperty(genuine, async (one) => {
      const [answer] = await talk([one], 1, ANSWER_MS);
      if (answer?.status !== 200) throw new Error(`answered ${answer?.status}: ${answer?.body}`);
    }),
  };
}

/** Sends all of it, and gives what comes back until the end, or until nothing came for so long. */
async function exchange(
  port: number,
  bytes: Buffer,
  { pieces, quietMs }: { readonly pieces: number; readonly quietMs: number },
): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const received: Buffer[] = [];
  socket.on("data", (data) => received.push(data));
  // Being cut off in the middle of sending is an answer too.
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "connect");
  const size = Math.ceil(bytes.length / pieces);
  for (let at = 0; at < bytes.length && socket.writable; at += size) {
    await new Promise((resolve) => socket.write(bytes.subarray(at, at + size), resolve));
  }
  socket.setTimeout(quietMs, () => socket.destroy());
  await closed;
  return Buffer.concat(received).toString("latin1");
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

function answersIn(raw: string): Answer[] {
  return raw
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((text) => text.startsWith("HTTP/1.1 "))
    .map((text) => {
      const at = text.indexOf("\r\n\r\n");
      return { status: Number(text.slice(9, 12)), head: text.slice(0, at), body: text.slice(at + 4) };
    });
}
