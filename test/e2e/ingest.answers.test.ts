import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, SIGNING_KEY, signatureHeader } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, startIngest } from "../support/stack.ts";
import { keysLike } from "../support/whole-redis.ts";

const SECONDARY_KEY = "second-signing-key-not-a-secret";
const SAMPLES = new URL("../fixtures/deliveries/", import.meta.url);
const now = () => Math.floor(Date.now() / 1_000);

let ingest: Ingest;
let deferring: Ingest;
let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  const keys = { CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: SECONDARY_KEY };
  ingest = await startIngest(server.url, keys);
  deferring = await startIngest(server.url, { CALENDLY_WEBHOOK_LATE_DELIVERIES: "defer" });
  await Promise.all([ingest.untilLogged("ready for deliveries"), deferring.untilLogged("ready for deliveries")]);
});

afterAll(async () => {
  disconnect(redis);
  await Promise.all([ingest?.end(), deferring?.end()]);
  await server?.stop();
});

/** Data of the jobs that a queue holds for an invitee, whatever their state. */
async function jobsOf(queue: string, inviteeId: string): Promise<Record<string, unknown>[]> {
  const keys = await keysLike(redis, `{calendly:0}:${queue}:*`);
  const jobs = keys.filter((key) => /:[0-9a-f]{8}-[0-9a-f-]{27}$/.test(key));
  const hashes = await Promise.all(jobs.map((key) => redis.hgetall(key)));
  return hashes.filter(({ data }) => data?.includes(inviteeId)).map(({ data }) => JSON.parse(data ?? "{}"));
}

describe("the samples of Calendly's deliveries", () => {
  const names = readdirSync(SAMPLES);

  test("are all here", () => expect(names.length).toBe(23));

  test.each(names)("%s is answered 200 when signed, and 401 when one byte is changed", async (name) => {
    const body = readFileSync(new URL(name, SAMPLES));
    expect(await deliver(ingest.webhookUrl, body)).toMatchObject({ status: 200 });

    const tampered = Buffer.from(body);
    const middle = Math.floor(body.length / 2);
    tampered[middle] = (tampered[middle] ?? 0) ^ 1;
    const answer = await deliver(ingest.webhookUrl, tampered, { signature: signatureHeader(body) });
    expect(answer).toMatchObject({ status: 401, body: { error: { code: "signature_mismatch" } } });
  });
});

describe("a genuine delivery", () => {
  test("is accepted once, and a duplicate ever after", async () => {
    const invitee = newInvitee();
    const id = `invitee.created/${invitee.id}`;
    const first = await deliver(ingest.webhookUrl, createdBody(invitee));
    expect(first).toMatchObject({ status: 200, body: { status: "accepted", id } });
    const second = await deliver(ingest.webhookUrl, createdBody(invitee));
    expect(second).toMatchObject({ status: 200, body: { status: "duplicate", id } });
    expect(await jobsOf("deliveries", invitee.id)).toHaveLength(1);
  });

  test("is accepted once when it comes twenty times at the same moment, to two instances", async () => {
    const invitee = newInvitee();
    const urls = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? ingest : deferring).webhookUrl);
    const answers = await Promise.all(urls.map((url) => deliver(url, createdBody(invitee))));
    expect(answers.filter(({ body }) => body.status === "accepted")).toHaveLength(1);
    expect(answers.filter(({ body }) => body.status === "duplicate")).toHaveLength(19);
    expect(await jobsOf("deliveries", invitee.id)).toHaveLength(1);
  });

  test("keeps the bytes that were signed, and says how and when it came", async () => {
    const invitee = newInvitee();
    const body = createdBody(invitee).replace('"Acme Corp"', '"Ümläut ☕ \\ud800"');
    await deliver(`${ingest.webhookUrl}?g=k2`, body, { signature: signatureHeader(body, SECONDARY_KEY) });
    const [job] = await jobsOf("deliveries", invitee.id);
    expect(job).toMatchObject({ body, generation: "k2", signedWith: "secondary", origin: "webhook" });
    expect(Math.abs(Date.parse(String(job?.["receivedAt"])) - Date.now())).toBeLessThan(10_000);
  });

  test("names the key that matched in the log, and never its value", async () => {
    const body = createdBody(newInvitee());
    await deliver(ingest.webhookUrl, body, { signature: signatureHeader(body, SECONDARY_KEY) });
    expect(ingest.output()).toContain('"signedWith":"secondary"');
    expect(ingest.output()).not.toContain(SECONDARY_KEY);
    expect(ingest.output()).not.toContain(SIGNING_KEY);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "nonsense"])(
    "is accepted with the content type %s",
    async (contentType) => {
      const answer = await deliver(ingest.webhookUrl, createdBody(newInvitee()), {
        headers: { "content-type": contentType },
      });
      expect(answer.body.status).toBe("accepted");
    },
  );

  test("of a type that nobody handles is ignored", async () => {
    const body = JSON.stringify({ event: "something.new", created_at: "2026-11-24T09:30:00Z", payload: { a: 1 } });
    expect(await deliver(ingest.webhookUrl, body)).toMatchObject({ status: 200, body: { status: "ignored" } });
  });
});

describe("a genuine delivery that cannot be read", () => {
  const quarantine = () => createQuarantine({ redis, shards: createShards(1), retentionDays: 90 });

  test.each([
    ["not_json", Buffer.from(`{"event": ${randomUUID()}`)],
    ["not_utf8", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(randomUUID())])],
    ["not_an_envelope", Buffer.from(JSON.stringify({ hello: randomUUID() }))],
  ])("is quarantined whole: %s", async (reason, body) => {
    const answer = await deliver(ingest.webhookUrl, body);
    expect(answer).toMatchObject({
      status: 200,
      body: { status: "quarantined", id: expect.stringMatching(/^body\//) },
    });
    const entry = await quarantine().get(String(answer.body.id));
    expect(entry).toMatchObject({ reason, signedWith: "primary" });
    expect(Buffer.from(entry?.body ?? []).equals(body)).toBe(true);
  });

  test("is quarantined under its fact's identity when its payload does not fit, once however often it comes", async () => {
    const invitee = newInvitee();
    const body = createdBody(invitee).replace('"status":"active"', '"status":"postponed"');
    const before = await quarantine().count(Date.now());
    const id = `invitee.created/${invitee.id}`;
    for (const _ of [1, 2]) {
      expect(await deliver(ingest.webhookUrl, body)).toMatchObject({
        status: 200,
        body: { status: "quarantined", id },
      });
    }
    expect(await quarantine().count(Date.now())).toBe(before + 1);
    expect(await quarantine().get(id)).toMatchObject({
      reason: "payload_invalid",
      problems: [expect.stringContaining("status")],
    });
  });
});

describe("a delivery that is not genuine", () => {
  const body = createdBody(newInvitee());

  test.each([
    ["signature_missing", () => null],
    ["signature_malformed", () => "v1=abc"],
    ["signature_mismatch", () => signatureHeader(body, "some-other-key")],
    ["timestamp_outside_window", () => signatureHeader(body, SIGNING_KEY, now() + 400)],
    ["timestamp_outside_window", () => signatureHeader(body, SIGNING_KEY, now() - 26 * 3_600)],
  ])("is refused with 401 %s", async (code, signature) => {
    const answer = await deliver(ingest.webhookUrl, body, { signature: signature() });
    expect(answer).toMatchObject({ status: 401, body: { error: { code, message: expect.any(String) } } });
  });

  test("leaves nothing behind", async () => {
    const invitee = newInvitee();
    const forged = createdBody(invitee);
    await deliver(ingest.webhookUrl, forged, { signature: signatureHeader(forged, "some-other-key") });
    await deliver(ingest.webhookUrl, forged, { signature: signatureHeader(forged, SIGNING_KEY, now() + 400) });
    expect(await keysLike(redis, `*${invitee.id}*`)).toEqual([]);
    expect(await jobsOf("late-deliveries", invitee.id)).toEqual([]);
  });
});

describe("a genuine delivery that comes late", () => {
  const late = (body: string) => signatureHeader(body, SIGNING_KEY, now() - 3_600);

  test("is refused, and kept as a hint that holds nothing but which fact it was, once", async () => {
    const invitee = newInvitee();
    const body = canceledBody(invitee);
    for (const _ of [1, 2]) {
      const answer = await deliver(ingest.webhookUrl, body, { signature: late(body) });
      expect(answer).toMatchObject({ status: 401, body: { error: { code: "timestamp_outside_window" } } });
    }
    expect(await jobsOf("late-deliveries", invitee.id)).toEqual([
      {
        identity: `invitee.canceled/${invitee.id}`,
        inviteeUri: invitee.uri,
        signedAt: expect.any(Number),
        receivedAt: expect.any(String),
      },
    ]);
    expect(await jobsOf("deliveries", invitee.id)).toEqual([]);
  });

  test("is deferred where that is configured", async () => {
    const invitee = newInvitee();
    const body = createdBody(invitee);
    const answer = await deliver(deferring.webhookUrl, body, { signature: late(body) });
    expect(answer).toMatchObject({ status: 200, body: { status: "deferred", id: `invitee.created/${invitee.id}` } });
    expect(await jobsOf("late-deliveries", invitee.id)).toHaveLength(1);
  });

  test("does not stand in the way of the same fact in time", async () => {
    const body = createdBody(newInvitee());
    await deliver(ingest.webhookUrl, body, { signature: late(body) });
    expect((await deliver(ingest.webhookUrl, body)).body.status).toBe("accepted");
  });

  test("is kept in quarantine when it cannot be asked for again", async () => {
    const body = `{"unreadable":"${randomUUID()}"`;
    const answer = await deliver(deferring.webhookUrl, body, { signature: late(body) });
    expect(answer.body.status).toBe("deferred");
    const entry = await createQuarantine({ redis, shards: createShards(1), retentionDays: 90 }).get(
      String(answer.body.id),
    );
    expect(entry).toMatchObject({ reason: "late" });
  });
});

describe("other requests", () => {
  test("a body of 1 MiB is read, a larger one is answered 413", async () => {
    const fits = "x".repeat(1_048_576);
    expect(await deliver(ingest.webhookUrl, fits)).toMatchObject({ status: 200, body: { status: "quarantined" } });
    const answer = await deliver(ingest.webhookUrl, `${fits}x`);
    expect(answer).toMatchObject({ status: 413, body: { error: { code: "body_too_large" } } });
  });

  test("the size limit holds without an announced length too", async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sending = request(ingest.webhookUrl, { method: "POST" }, (response) => {
        resolve(response.statusCode);
        sending.destroy();
      });
      sending.on("error", reject);
      for (let sent = 0; sent < 20; sent++) sending.write(Buffer.alloc(64 * 1_024));
    });
    expect(status).toBe(413);
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()))).status).toBe(200);
  });

  test("a content encoding is not undone: the signature is over the bytes as sent", async () => {
    const headers = { "content-encoding": "gzip" };
    expect((await deliver(ingest.webhookUrl, createdBody(newInvitee()), { headers })).body.status).toBe("accepted");
    const compressed = gzipSync(createdBody(newInvitee()));
    expect((await deliver(ingest.webhookUrl, compressed, { headers })).body.status).toBe("quarantined");
  });

  test.each(["PUT", "DELETE", "PATCH", "OPTIONS"])(
    "%s on the webhook path is answered 405 with what is allowed",
    async (method) => {
      const response = await fetch(ingest.webhookUrl, { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD, POST");
    },
  );

  test.each(["/", "/api/webhooks/calendly/", "/API/webhooks/calendly", "/metrics"])(
    "%s is answered 404",
    async (path) => {
      const response = await fetch(`${ingest.baseUrl}${path}`, { method: "POST" });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: "not_found" } });
    },
  );

  test.each([
    ["/api/webhooks/calendly", { status: "ready" }],
    ["/livez", { status: "alive" }],
    ["/readyz", { status: "ready" }],
    ["/api/health/calendly", { status: "ok" }],
  ])("GET %s says that deliveries can be accepted", async (path, body) => {
    const response = await fetch(`${ingest.baseUrl}${path}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(body);
    expect(response.headers.has("x-powered-by")).toBe(false);
  });

  test("a request that breaks off in the middle of its body leaves the ingest well", async () => {
    const { port } = new URL(ingest.baseUrl);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), "127.0.0.1", () => {
        socket.write("POST /api/webhooks/calendly HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf");
        socket.end(() => socket.destroy());
      });
      socket.on("close", () => resolve());
    });
    expect((await fetch(`${ingest.baseUrl}/readyz`)).status).toBe(200);
  });
});

test("no personal data of any delivery has reached the log", () => {
  expect(ingest.output()).toContain('"result":"accepted"');
  expect(ingest.output()).not.toMatch(/@[a-z-]+\.example|Priya|Acme|cancellations\/|\+1212/);
});
