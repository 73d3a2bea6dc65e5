import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import type { Delivery } from "@calendly-worker/core/store/bookings";

const [CREATED, CANCELED] = ["invitee.created", "invitee.canceled"].map(sample) as [string, string];
/** What is another in every delivery that is made of them. */
const SAMPLE = {
  invitee: "8a9b7c6d-1e2f-4031-8abc-d4e5f6071101",
  event: "6f2b8c1a-4d3e-4b70-9a55-c01d5e7f1101",
  host: "1f0e9d8c-3b2a-4c5d-8e6f-70819a2b3c01",
  eventType: "https://api.calendly.com/event_types/c3d4e5f6-0718-4293-a4b5-c6d7e8f91101",
  start: "2026-12-03T19:00:00.000000Z",
  end: "2026-12-03T19:30:00.000000Z",
};
const HOSTS = 100;
const AT_ONCE = 500;

/** That one was made, and that it was canceled; at a time of its host's of its own, as Calendly would tell of it. */
export function bodiesOf(
  index: number,
  eventType = SAMPLE.eventType,
  host = `HOST${index % HOSTS}`,
): [created: string, canceled: string] {
  const [invitee, event] = [randomUUID(), randomUUID()];
  const start = new Date(Date.parse("2030-01-01T00:00:00Z") + Math.floor(index / HOSTS) * 3_600_000).toISOString();
  const end = new Date(Date.parse(start) + 1_800_000).toISOString();
  const fit = (body: string) =>
    body
      .replaceAll(SAMPLE.start, start)
      .replaceAll(SAMPLE.end, end)
      .replaceAll(SAMPLE.invitee, invitee)
      .replaceAll(SAMPLE.event, event)
      .replaceAll(SAMPLE.host, host)
      .replaceAll(SAMPLE.eventType, eventType);
  return [fit(CREATED), fit(CANCELED)];
}

export function deliveryOf(body: string): Delivery {
  const { identity } = readDelivery(Buffer.from(body));
  return { identity, body, receivedAt: new Date().toISOString(), signedWith: "primary", origin: "webhook" };
}

/** So many bookings that were made, and after all of them that each was canceled. */
export function factsOf(bookings: number, eventType: string): string[] {
  const bodies = Array.from({ length: bookings }, (_, index) => bodiesOf(index, eventType));
  return [...bodies.map(([created]) => created), ...bodies.map(([, canceled]) => canceled)];
}

/** Puts deliveries on the queue, as the ingest does. */
export async function enqueueAll(redis: Redis, bodies: readonly string[]): Promise<void> {
  const shards = createShards(1);
  const producer = createProducer({ redis, contract: deliveries, deduplicationMs: 3_600_000, deadlineMs: 60_000 });
  for (let at = 0; at < bodies.length; at += AT_ONCE) {
    const some = bodies.slice(at, at + AT_ONCE).map(deliveryOf);
    await Promise.all(some.map((delivery) => producer.enqueue(shards.first, "invitee.created", delivery)));
  }
}

/** A recorded delivery, as Calendly sends it: without white space. */
function sample(name: string): string {
  const text = readFileSync(new URL(`../fixtures/deliveries/${name}.json`, import.meta.url), "utf8");
  return JSON.stringify(JSON.parse(text));
}
