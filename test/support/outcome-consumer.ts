import { setTimeout as pause } from "node:timers/promises";
import { createOutcomeConsumer } from "@calendly-worker/core/outcomes";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { connectRedis } from "./connect-redis.ts";

// A consumer in a process of its own, for tests that kill and freeze it. What it handles is written to the list `handled`
// as "<booking> <outcome> <consumer>" before it is acknowledged.
//
//   REDIS_URL, GROUP, NAME, LEASE_MS, WORK_MS

const { REDIS_URL = "", GROUP = "", NAME = "", LEASE_MS, WORK_MS } = process.env;
const redis = await connectRedis(REDIS_URL);
const consumer = createOutcomeConsumer({
  redis,
  group: GROUP,
  name: NAME,
  leaseMs: Number(LEASE_MS),
  async onOutcome({ id, subject }) {
    await pause(Math.random() * 2 * Number(WORK_MS));
    await redis.rpush("handled", `${subject} ${id} ${NAME}`);
  },
  onError: (error) => process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`),
});
process.once("SIGTERM", () => void consumer.stop());
process.send?.("running");
await consumer.run();
disconnect(redis);
process.disconnect?.();
