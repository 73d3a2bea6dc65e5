import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import type { Delivery } from "@calendly-worker/core/store/bookings";
import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { silent } from "../support/connect-redis.ts";

const HOSTS = 100;
const AT_ONCE = 500;

/** That one was made, and that it was canceled; at a time of its host's of its own, as Calendly would tell of it. */
export function bodiesOf(index: number, eventType?: string): [created: string, canceled: string] {
  const invitee = newInvitee();
  const start = new Date(Date.parse("2030-01-01T00:00:00Z") + Math.floor(index / HOSTS) * 3_600_000).toISOString();
  const end = new Date(Date.parse(start) + 1_800_000).toISOString();
  const fit = (body: string) =>
    body
      .replaceAll("2026-12-03T19:00:00.000000Z", start)
      .replaceAll("2026-12-03T19:30:00.000000Z", end)
      .replaceAll(`/users/${invitee.id}`, `/users/HOST${index % HOSTS}`)
      .replace(/"event_type":"[^"]+"/, (known) => (eventType === undefined ? known : `"event_type":"${eventType}"`));
  return [fit(createdBody(invitee)), fit(canceledBody(invitee))];
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
  const producer = createProducer({
    redis,
    shards,
    contract: deliveries,
    deduplicationMs: 3_600_000,
    deadlineMs: 60_000,
    log: silent,
  });
  for (let at = 0; at < bodies.length; at += AT_ONCE) {
    const some = bodies.slice(at, at + AT_ONCE).map(deliveryOf);
    await Promise.all(some.map((delivery) => producer.enqueue(shards.first, "invitee.created", delivery)));
  }
  await producer.close();
}
