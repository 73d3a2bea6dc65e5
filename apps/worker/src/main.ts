import { listen } from "@calendly-worker/core/lifecycle/http-server";
import { runApp } from "@calendly-worker/core/lifecycle/run-app";
import { type Consumer, createConsumer } from "@calendly-worker/core/queues/consumer";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { connectProducer, connectWorker, disconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { withinDeadline } from "@calendly-worker/core/redis/deadline";
import { checkShardCount } from "@calendly-worker/core/redis/deployment";
import { createShards } from "@calendly-worker/core/redis/keys";
import { checkRedisSafety } from "@calendly-worker/core/redis/safety";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import { createApp } from "./app.ts";
import { foldDelivery } from "./jobs/fold-delivery.ts";

const PROBE_DEADLINE_MS = 1_000;

await runApp(process, "worker", async ({ config, lifecycle, log }) => {
  const shards = createShards(config.CALENDLY_SHARDS);
  const redis = lifecycle.own("redis", connectWorker(config.REDIS_URL, log), disconnect);
  // A probe wants an answer now, also while Redis is away.
  const probe = lifecycle.own("redis probe", connectProducer(config.REDIS_URL, log), disconnect);
  const consumers: Consumer[] = [];

  async function isReady(): Promise<boolean> {
    if (lifecycle.signal.aborted || consumers.length === 0 || probe.status !== "ready") return false;
    if (!consumers.every((consumer) => consumer.isRunning())) return false;
    return await withinDeadline(PROBE_DEADLINE_MS, probe.ping()).then(
      () => true,
      () => false,
    );
  }

  const server = await listen(createApp({ isReady, log }), { host: config.WORKER_HOST, port: config.WORKER_PORT });
  lifecycle.own("http server", server, () => server.close(PROBE_DEADLINE_MS));
  log.info({ url: server.url }, "listening");

  await untilReady(redis, lifecycle.signal);
  await checkRedisSafety(redis, config.REDIS_ALLOW_UNSAFE ?? []);
  await checkShardCount(redis, shards);

  const handle = foldDelivery({
    bookings: createBookingStore(redis, shards),
    quarantine: createQuarantine(redis, shards),
  });
  lifecycle.own("consumers", consumers, (open) =>
    Promise.all(open.map((consumer) => consumer.close(config.SHUTDOWN_DEADLINE * 1_000))),
  );
  for (const shard of shards.all) {
    consumers.push(
      createConsumer({
        redis,
        shard,
        contract: deliveries,
        handle,
        concurrency: config.WORKER_CONCURRENCY,
        lockMs: config.WORKER_JOB_LOCK_DURATION,
        stalledCheckMs: config.WORKER_STALLED_CHECK_INTERVAL,
        log,
      }),
    );
  }
  log.info({ shards: shards.all.length, concurrency: config.WORKER_CONCURRENCY }, "taking jobs");
});
