import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { findOwner } from "@calendly-worker/core/calendly/subscriptions";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { createTestDeliveries, type TestHops } from "@calendly-worker/core/store/test-deliveries";
import { Command } from "commander";
import type { CommandPorts } from "../installation.ts";
import { wholeOf } from "../options.ts";
import { faultOf, fragileJson, post } from "../public-address.ts";

const LOOK_EVERY_MS = 50;

export function testCommand({ open, say, note }: CommandPorts): Command {
  return new Command("test")
    .description(
      "Sends a delivery marked as a test, of Calendly's sample data and signed with the configured key, to the public address, and follows it to its outcome. That is not published.",
    )
    .option("--timeout <seconds>", "how long to wait for the worker", wholeOf, 15)
    .option("--json", "print JSON")
    .action(async ({ timeout, json }: { timeout: number; json?: true }) => {
      const { config, redis, openCalendly } = await open();
      const key = config.CALENDLY_WEBHOOK_SIGNING_KEY;
      const url = webhookUrlOf(config);
      if (key === undefined || url === undefined) {
        const name = key === undefined ? "CALENDLY_WEBHOOK_SIGNING_KEY" : "CALENDLY_WEBHOOK_BASE_URL";
        throw new RefusalError("config_invalid", `${name} is not set: a test needs it.`);
      }
      const { client } = await openCalendly();
      const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
      const owner = await findOwner(client, { organization, scope });
      const sample = await client.sampleDelivery({ event: "invitee.created", ...owner });
      const id = randomUUID();
      const sentAt = Date.now();
      const answer = await post(url, key, fragileJson({ ...sample, test: { id } }));
      const fault = faultOf(answer, url);
      if (fault !== undefined) throw new Error(`The way to the ingest is broken. ${fault.message}\n${fault.advice}`);
      if (answer.kind === "answered" && answer.word !== "accepted") {
        throw new Error(`expected the ingest to answer "accepted", got "${answer.word}": is it of an older version?`);
      }

      note(`Answered by the ingest; waiting for a worker …`);
      const hops = await follow(() => createTestDeliveries(redis).find(id), timeout * 1_000);
      if (hops === undefined) {
        throw new Error(
          `The worker stayed silent: the ingest took the delivery, and nobody took it up within ${timeout} s. Is a worker running, and the queue not paused (\`calendly queue status\`)?`,
        );
      }
      const { outcomeId, outcomeType } = hops;
      if (outcomeId === null) {
        throw new Error(
          "The outcome stayed silent: a worker took the delivery up, and nothing follows from what Calendly gives as a sample.",
        );
      }
      const times = {
        answeredMs: answer.kind === "answered" ? answer.ms : 0,
        toIngestMs: hops.receivedAt - sentAt,
        inQueueMs: hops.begunAt - hops.receivedAt,
        inWorkerMs: hops.endedAt - hops.begunAt,
      };
      if (json)
        return say(JSON.stringify({ id, ...times, outcome: { id: outcomeId, type: outcomeType, published: false } }));
      say(`to the ingest      ${times.toIngestMs} ms, answered after ${times.answeredMs} ms`);
      say(`in the queue       ${times.inQueueMs} ms`);
      say(`in the worker      ${times.inWorkerMs} ms`);
      say(`outcome            ${outcomeType} ${outcomeId} (a test: not published)`);
    });
}

async function follow(look: () => Promise<TestHops | undefined>, deadlineMs: number): Promise<TestHops | undefined> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const hops = await look();
    if (hops !== undefined || performance.now() > end) return hops;
    await pause(LOOK_EVERY_MS);
  }
}
