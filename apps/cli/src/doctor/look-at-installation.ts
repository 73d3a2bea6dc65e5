import { readDeploymentId } from "@calendly-worker/core/redis/deployment";
import { liveInstances } from "@calendly-worker/core/store/instances";
import type { Installation } from "../installation.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

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
