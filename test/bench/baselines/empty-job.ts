import { Worker } from "bullmq";

// BullMQ itself: a worker whose jobs do nothing. A job that says when it was added has the time up to here measured.

const { REDIS_URL = "", CONCURRENCY = "", QUEUE = "" } = process.env;
const { hostname: host, port } = new URL(REDIS_URL);

const waitedUs: number[] = [];
const worker = new Worker(
  QUEUE,
  async ({ data }) => {
    // The clock of the machine, the same for every process.
    if (data.addedAt !== undefined) waitedUs.push(Number(process.hrtime.bigint() - BigInt(data.addedAt)) / 1_000);
  },
  { connection: { host, port: Number(port), maxRetriesPerRequest: null }, concurrency: Number(CONCURRENCY) },
);
await worker.waitUntilReady();
process.stdout.write(`${JSON.stringify({ msg: "taking jobs" })}\n`);

process.on("SIGTERM", async () => {
  await worker.close();
  process.stdout.write(`${JSON.stringify({ msg: "stopped", waitedUs })}\n`, () => process.exit());
});
process.on("disconnect", () => process.exit());
