import { parseArgs } from "node:util";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { connectSimulator } from "../simulator/control-client.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { jobCount } from "../support/job-count.ts";
import { openOutcomeLog } from "../support/stack.ts";
import { say } from "./print.ts";
import { watchDay } from "./watch-day.ts";

// The day of `npm run demo`, played on what is up already: the demo of docker-compose.yml. Exit code 0 only if what came
// out is what must come out.

/** Nothing was played. */
const EXIT_PLAYED_BEFORE = 2;

const { values } = parseArgs({
  options: { simulator: { type: "string" }, "webhook-url": { type: "string" }, redis: { type: "string" } },
});
const { simulator, "webhook-url": webhookUrl, redis: redisUrl } = values;
if (simulator === undefined || webhookUrl === undefined || redisUrl === undefined)
  throw new Error("expected --simulator, --webhook-url and --redis, an address each");

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());

const client = connectSimulator(simulator);
const redis = await connectRedis(redisUrl);
try {
  // The same bookings a second time would be conflicts with those of the first.
  if ((await client.attempts()).length > 0) {
    say(
      "The day has been played here before, or something was booked by hand: take the demo down and bring it up again.",
    );
    process.exitCode = EXIT_PLAYED_BEFORE;
  } else {
    say("Deliveries (→) with their answers, and the outcomes (⇐) that follow");
    const played = {
      simulator: client,
      webhookUrl,
      outcomes: await openOutcomeLog(redis),
      isWorkedOff: async () => (await jobCount(redis, createShards(1).first, deliveries.name)) === 0,
    };
    const problems = await watchDay(played, stopping.signal);
    if (stopping.signal.aborted) process.exitCode = 1;
    else {
      say(
        problems.length === 0
          ? "\nWhat came out is what must come out."
          : `\nThis is not what must come out:\n${problems.join("\n")}`,
      );
      process.exitCode = problems.length === 0 ? 0 : 1;
    }
  }
} finally {
  disconnect(redis);
}
