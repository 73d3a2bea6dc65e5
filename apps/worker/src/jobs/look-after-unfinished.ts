import { readBody } from "@calendly-worker/core/calendly/deliveries";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { BookingStore, Delivery } from "@calendly-worker/core/store/bookings";
import type { Unfinished } from "../unfinished.ts";
import type { Task } from "./maintain.ts";

const BATCH = 100;

/**
 * Adds the jobs again that ask for what is missing, where they were lost or given up: for each booking and each invitee
 * whose time to be looked after has come.
 */
export function lookAfterUnfinished(ports: {
  readonly shards: Shards;
  readonly bookings: BookingStore;
  readonly unfinished: Unfinished;
}): Task {
  const { shards, bookings, unfinished } = ports;

  return async ({ signal }) => {
    let looked = 0;
    for (const shard of shards.all) {
      for (let due = await bookings.due(shard, BATCH); due.length > 0; due = await bookings.due(shard, BATCH)) {
        for (const id of due) {
          signal.throwIfAborted();
          await bookings.lookLater(id, await lookAfter(id));
          looked += 1;
        }
      }
    }
    return `looked after ${looked}`;
  };

  /** Whether something is still missing. */
  async function lookAfter(id: string): Promise<boolean> {
    const [awaited] = (await bookings.waitingFor(id)).flatMap((delivery) => predecessorOf(delivery));
    if (awaited !== undefined) await unfinished.ensureAskedFor(awaited);
    const { version, booking } = await bookings.load(id);
    const isNeeded = version > 0 && (await unfinished.ensureJobs(booking));
    return awaited !== undefined || isNeeded;
  }
}

function predecessorOf({ body }: Delivery) {
  const reading = readBody(body);
  const isInvitee = reading.kind === "fact" && reading.fact.kind === "invitee";
  return isInvitee && reading.fact.oldInvitee !== undefined ? [reading.fact.oldInvitee] : [];
}
