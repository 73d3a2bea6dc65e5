import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import { readOutcomes } from "@calendly-worker/core/outcomes/read-stream";
import { createQueueOperations } from "@calendly-worker/core/queues/operations";
import { ANNOUNCE_EVERY_MS } from "@calendly-worker/core/store/instances";
import { Command } from "commander";
import type { CommandPorts, Installation } from "../installation.ts";
import { wholeOf } from "../options.ts";

/** What a person is asked to do, and the outcome that must come of it. */
const STAGES = [
  { type: "booking.confirmed", ask: "Book an appointment under the link above." },
  { type: "booking.rescheduled", ask: "Now reschedule it, by the link in Calendly's e-mail." },
  { type: "booking.canceled", ask: "Now cancel it, by the link in Calendly's e-mail." },
] as const;

/** One outcome, and when each hop on its way was passed. Times ISO 8601. */
interface Passed {
  readonly type: string;
  readonly id: string;
  readonly atCalendly: string;
  /** Null where the job is not remembered any more. */
  readonly enqueued: string | null;
  readonly begun: string | null;
  readonly published: string;
}

const LOOK_EVERY_MS = 300;

export function verifyCommand({ open, say, note }: CommandPorts): Command {
  return new Command("verify")
    .description(
      "The last step of a deployment: gives a real booking link, and waits for what Calendly itself delivers of the booking, its rescheduling and its cancellation.",
    )
    .requiredOption("--event-type <uri>", "URI of the event type to book")
    .option("--timeout <seconds>", "how long to wait for each of the three", wholeOf, 600)
    .option("--json", "print JSON")
    .action(async ({ eventType, timeout, json }: { eventType: string; timeout: number; json?: true }) => {
      const installation = await open();
      const { client } = await installation.openCalendly();
      const { scheduling_url: link, active } = await client.eventType(eventType);
      if (!link || active === false)
        throw new Error("the event type cannot be booked: it is not active, or has no link");
      const reference = `verify-${randomBytes(6).toString("hex")}`;
      const url = new URL(link);
      url.searchParams.set(installation.config.CALENDLY_REFERENCE_FIELD, reference);
      note(`\n  ${url.href}\n`);

      const passed: Passed[] = [];
      let subject: string | undefined;
      const outcomes = watchOutcomes(installation);
      for (const { type, ask } of STAGES) {
        note(ask);
        const isIt = (event: OutcomeEvent) =>
          event.type === type && (subject === undefined ? referenceOf(event) === reference : event.subject === subject);
        const begun = Date.now();
        const found = await outcomes.until(isIt, timeout * 1_000);
        if (found === undefined) throw new Error(await silentHop(installation, type, begun));
        if (!isDelivered(found.event)) {
          throw new Error(
            `Calendly's delivery stayed silent: ${type} was found by asking its API, and no delivery told it. \`calendly doctor\` looks at the subscription, its address and its key.`,
          );
        }
        subject = found.event.subject;
        const hops = await passedBy(installation, found);
        passed.push(hops);
        note(`  ${type} has come.`);
      }
      if (json) return say(JSON.stringify({ reference, passed }));
      for (const { type, atCalendly, enqueued, begun, published } of passed) {
        say(
          `${type}\n  at Calendly ${atCalendly}, in the queue ${enqueued ?? "?"}, begun ${begun ?? "?"}, published ${published}`,
        );
      }
      say("Calendly holds the right key and address: all three have come by its own deliveries.");
    });
}

interface Found {
  readonly streamId: string;
  readonly event: OutcomeEvent;
}

/** The outcomes from now on. */
function watchOutcomes({ redis, shards }: Installation) {
  const from = `${Date.now() - 1}-18446744073709551615`;
  const after = new Map(shards.all.map((shard) => [shard, from]));
  return {
    async until(isIt: (event: OutcomeEvent) => boolean, deadlineMs: number): Promise<Found | undefined> {
      const end = performance.now() + deadlineMs;
      for (;;) {
        for (const shard of shards.all) {
          for (const found of await readOutcomes(redis, shard, after.get(shard))) {
            after.set(shard, found.streamId);
            if (isIt(found.event)) return found;
          }
        }
        if (performance.now() > end) return undefined;
        await pause(LOOK_EVERY_MS);
      }
    },
  };
}

async function passedBy(installation: Installation, { streamId, event }: Found): Promise<Passed> {
  const { type, id, time } = event;
  const [inviteeId = ""] = id.split(".");
  const fact = type === "booking.canceled" ? "invitee.canceled" : "invitee.created";
  const queues = createQueueOperations(installation);
  const times = await queues.timesOf("deliveries", `${fact}/${inviteeId}`).finally(() => queues.close());
  const iso = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
  const published = new Date(Number(streamId.split("-", 1)[0])).toISOString();
  return { type, id, atCalendly: time, enqueued: iso(times?.addedAt), begun: iso(times?.begunAt), published };
}

/** How far what was waited for has come: the first hop that nothing was seen of. `since` in ms. */
async function silentHop(installation: Installation, type: string, since: number): Promise<string> {
  // Ingests write down what they have verified only now and then.
  await pause(ANNOUNCE_EVERY_MS + 1_000);
  const lastAt = (await installation.credentials.lastDeliveryAt()) ?? 0;
  if (lastAt < since) {
    return `Calendly's delivery stayed silent: none was verified since ${type} is waited for. \`calendly doctor\` looks at the subscription, its address and its key.`;
  }
  const queues = createQueueOperations(installation);
  const counts = await queues.counts().finally(() => queues.close());
  const deliveries = counts.find(({ queue }) => queue === "deliveries");
  if (deliveries !== undefined && deliveries.waiting > 0) {
    return `The worker stayed silent: ${deliveries.waiting} deliveries wait, and nobody takes them up. Is one running, and the queue not paused?`;
  }
  return `The outcome stayed silent: deliveries came and were taken up, but none gave ${type} with this reference. Was the link used as it was printed? \`calendly queue failed\` and \`calendly quarantine list\` show what was put aside.`;
}

function referenceOf({ data }: OutcomeEvent): string | null {
  return "booking" in data && "reference" in data.booking ? data.booking.reference : null;
}

function isDelivered({ data }: OutcomeEvent): boolean {
  return "origin" in data && data.origin === "webhook";
}
