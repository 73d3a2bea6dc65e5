import { setTimeout as pause } from "node:timers/promises";
import { createCalendlyClient } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { Priority } from "@calendly-worker/core/calendly/gate";
import { createApiGate } from "@calendly-worker/core/store/api-gate";
import { openFingerprints } from "@calendly-worker/core/store/fingerprints";
import { createNotices } from "@calendly-worker/core/store/notices";
import { tokenDied } from "@calendly-worker/core/store/token-died";
import { connectRedis, silent } from "./connect-redis.ts";

// A process that asks Calendly for the current user so many times, and puts a call that meets no budget back for later,
// as jobs are. Prints how long each call waited, in ms, as JSON.
//
//   node api-caller.ts <redis url> <api url> <tokens, comma-separated> <live calls> <monitor calls>

const [redisUrl = "", baseUrl = "", tokens = "", live = "0", monitor = "0"] = process.argv.slice(2);
const CONCURRENCY = 8;

const redis = await connectRedis(redisUrl);
const gate = createApiGate({
  redis,
  fingerprintOf: await openFingerprints(redis),
  tokens: tokens.split(","),
  requestTimeoutMs: 5_000,
  now: Date.now,
  onTokenDead: tokenDied({ notices: createNotices(redis, Date.now), log: silent, hasOther: true }),
});
const signal = new AbortController().signal;
const client = createCalendlyClient({ gate, baseUrl, timeoutMs: 5_000, totalTimeoutMs: 20_000, signal });

async function callAll(priority: Priority, count: number): Promise<number[]> {
  const waited: number[] = [];
  let left = count;
  async function lane(): Promise<void> {
    while (left > 0) {
      left -= 1;
      const from = performance.now();
      await callOnce(priority);
      waited.push(Math.round(performance.now() - from));
    }
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  return waited;
}

async function callOnce(priority: Priority): Promise<void> {
  for (;;) {
    try {
      await client.currentUser({ priority });
      return;
    } catch (error) {
      if (!(error instanceof CalendlyError && error.code === "rate_limited")) throw error;
      await pause((error.details.retryAfterMs ?? 1_000) + Math.random() * 50);
    }
  }
}

const [liveWaits, monitorWaits] = await Promise.all([
  callAll("live", Number(live)),
  callAll("monitor", Number(monitor)),
]);
process.stdout.write(`${JSON.stringify({ liveWaits, monitorWaits })}\n`);
process.exit();
