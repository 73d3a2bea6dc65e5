import { readVitals } from "@calendly-worker/core/redis/vitals";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { deliver } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Stack, scrape, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

/** `SERIES_BOOKINGS=100000` does it at length. */
const BOOKINGS = Number(process.env["SERIES_BOOKINGS"] || 2_000);
const AT_ONCE = 50;
const WAITING = 1_000;

let server: RedisServer;
let stack: Stack;

beforeAll(async () => {
  server = await startRedis({ appendfsync: "everysec" });
  stack = await startStack(server.url, { LOG_LEVEL: "info", WORKER_CONCURRENCY: "20" });
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const usedBytes = async () => (await readVitals(stack.redis, "memory")).usedBytes;

/** Gives the length of what was sent, in bytes. */
async function accept(count: number): Promise<number> {
  let length = 0;
  for (let sent = 0; sent < count; sent += AT_ONCE) {
    const bodies = Array.from({ length: Math.min(AT_ONCE, count - sent) }, () => createdBody(newInvitee()));
    const answers = await Promise.all(bodies.map((body) => deliver(stack.ingest.webhookUrl, body)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    length += Buffer.byteLength(bodies.join(""));
  }
  return length;
}

test(`${BOOKINGS} bookings add no metric series, and take the memory that docs/redis.md tells`, async () => {
  const faces = [
    (await stack.worker.untilLogged("listening"))["url"],
    (await stack.ingest.untilLogged("telling metrics"))["url"],
  ];
  const series = async () => {
    const texts = await Promise.all(faces.map(scrape));
    return texts
      .join("\n")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => line.slice(0, line.lastIndexOf(" ")));
  };
  const published = async () =>
    Number(
      /^calendly_outcomes_total\{type="booking.confirmed",origin="webhook"\} (\d+)$/m.exec(
        await scrape(faces[0]),
      )?.[1] ?? 0,
    );
  async function send(count: number): Promise<void> {
    const before = await published();
    await accept(count);
    await until("all are published", async () => (await published()) === before + count, {
      deadlineMs: 60_000 + count * 10,
      everyMs: 500,
    });
  }
  await send(10);
  await until("the ingest has written down the use of its key", async () =>
    (await scrape(faces[0])).includes('calendly_signing_key_last_used_timestamp_seconds{slot="primary"}'),
  );
  // What a first booking begins is there. Tasks that run now and then, kinds of garbage collection, and what Node has open
  // in the moment of a look, are none of its doing.
  const isOfOthers = (name: string) => name.includes('queue="maintenance"') || /^nodejs_(gc|active)_/.test(name);
  const ofBookings = async () => (await series()).filter((name) => !isOfOthers(name));
  const before = await ofBookings();
  const bytesBefore = await usedBytes();
  await send(BOOKINGS);
  expect((await ofBookings()).filter((name) => !before.includes(name))).toEqual([]);
  process.stdout.write(`${BOOKINGS} bookings: ${before.length} series before and after\n`);
  const bytes = Math.round(((await usedBytes()) - bytesBefore) / BOOKINGS);
  process.stdout.write(
    `a booking that was confirmed, with its outcome and what is remembered of its delivery: ${bytes} bytes\n`,
  );
  expect(bytes).toBeLessThan(18_000);
}, 1_800_000);

test("a delivery that waits takes the memory that docs/redis.md tells", async () => {
  await stack.worker.end();
  const bytesBefore = await usedBytes();
  const length = await accept(WAITING);
  const [body, bytes] = [length, (await usedBytes()) - bytesBefore].map((all) => Math.round(all / WAITING));
  process.stdout.write(`a delivery of ${body} bytes that waits: ${bytes} bytes\n`);
  expect(bytes).toBeLessThan(6_000);
});
