import { RefusalError } from "@calendly-worker/core/config/refusal";
import { createQueueOperations } from "@calendly-worker/core/queues/operations";
import { readDeploymentId } from "@calendly-worker/core/redis/deployment";
import { checkRedisSafety } from "@calendly-worker/core/redis/safety";
import { liveInstances } from "@calendly-worker/core/store/instances";
import type { Installation } from "../installation.ts";
import { type Finding, fault, judgeSkew, ok, warning } from "./finding.ts";

export async function lookAtRedis({ config, redis }: Installation): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    await checkRedisSafety(redis, config.REDIS_ALLOW_UNSAFE ?? []);
    findings.push(ok("redis", "Redis is reachable and safe to keep deliveries in."));
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    findings.push(fault("redis", error.message, "Change the settings of Redis as the message says."));
  }
  const [seconds, microseconds] = await redis.time();
  const skewMs = Math.abs(Date.now() - (Number(seconds) * 1_000 + Number(microseconds) / 1_000));
  findings.push(judgeSkew("redis' clock", "Redis", skewMs));
  return findings;
}

/** Nothing where somebody has begun: the number of shards was compared when Redis was opened. */
export async function lookAtDeployment({ config, redis }: Installation): Promise<Finding[]> {
  if ((await readDeploymentId(redis)) !== undefined) return [];
  const message = `Nothing has been started with this Redis yet. The first start fixes its CALENDLY_SHARDS for good, which is ${config.CALENDLY_SHARDS} here.`;
  return [warning("installation", message, "Decide on CALENDLY_SHARDS, and start the apps; or correct REDIS_URL.")];
}

export async function lookAtProcesses({
  config,
  redis,
  credentials,
  subscriptions,
  fingerprintOf,
}: Installation): Promise<Finding[]> {
  const findings: Finding[] = [];
  const [ingests, workers] = [await liveInstances(redis, "ingest"), await liveInstances(redis, "worker")];
  findings.push(
    workers.length > 0
      ? ok("workers", `${workers.length} alive.`)
      : fault(
          "workers",
          "No worker is alive: what is delivered is kept, and nothing becomes of it.",
          "Start one: `pnpm start:worker`.",
        ),
    ingests.length > 0
      ? ok("ingests", `${ingests.length} alive.`)
      : fault("ingests", "No ingest is alive: Calendly's deliveries fail.", "Start one: `pnpm start:ingest`."),
  );
  const key = config.CALENDLY_WEBHOOK_SIGNING_KEY;
  const unaware = ingests.filter(({ signingKeys }) => key !== undefined && !signingKeys.includes(fingerprintOf(key)));
  if (unaware.length > 0) {
    const message = `${unaware.length} of ${ingests.length} ingests do not accept the signing key that is configured here.`;
    findings.push(fault("signing key", message, "Give all apps the same keys, and restart them."));
  }
  // Each of them by itself: whichever gets a delivery must accept it.
  for (const fingerprint of new Set((await subscriptions.signingKeys()).values())) {
    const lacking = ingests.filter(({ signingKeys }) => !signingKeys.includes(fingerprint));
    if (lacking.length === 0) continue;
    const message = `${lacking.length} of ${ingests.length} ingests do not accept the key ${fingerprint} of a live subscription.`;
    findings.push(fault("signing key", message, "Restore that key as CALENDLY_WEBHOOK_SIGNING_KEY or …_SECONDARY."));
  }
  const rotation = await subscriptions.rotation();
  if (rotation !== undefined) {
    const message = `A rotation of the signing key is under way (${rotation.step}) since ${rotation.startedAt}.`;
    const advice = "`calendly webhooks rotate` goes on with it, `--abort` gives it up; delete no subscription by hand.";
    findings.push(warning("rotation", message, advice));
  }
  const lastAt = await credentials.lastDeliveryAt();
  findings.push(
    lastAt === undefined
      ? warning(
          "deliveries",
          "No delivery of Calendly's own has been verified yet.",
          "Make a booking, or run `calendly verify`.",
        )
      : ok("deliveries", `The last one was verified ${new Date(lastAt).toISOString()}.`),
  );
  return findings;
}

export async function lookAtQueues(installation: Installation): Promise<Finding[]> {
  const queues = createQueueOperations(installation);
  try {
    const counts = await queues.counts();
    const paused = counts.filter(({ isPaused }) => isPaused).map(({ queue }) => queue);
    const failed = counts.reduce((sum, { failed: count }) => sum + count, 0);
    const kept = await installation.quarantine.count(Date.now());
    const findings: Finding[] = [];
    if (paused.length > 0) {
      const advice = paused.map((queue) => `\`calendly queue resume --queue ${queue}\``).join(", ");
      findings.push(fault("queues", `Paused: ${paused.join(", ")}.`, `${advice} lets it go on.`));
    }
    if (failed > 0)
      findings.push(
        warning(
          "queues",
          `${failed} jobs have been given up.`,
          "`calendly queue failed` says why, `queue retry` tries again, `queue drop` deletes what is of no use.",
        ),
      );
    if (kept > 0)
      findings.push(
        warning("quarantine", `${kept} deliveries are in quarantine.`, "`calendly quarantine list` says why."),
      );
    return findings.length > 0 ? findings : [ok("queues", "Nothing is paused, given up or in quarantine.")];
  } finally {
    await queues.close();
  }
}
