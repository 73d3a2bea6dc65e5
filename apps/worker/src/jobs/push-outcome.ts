import { compareStreamIds } from "@calendly-worker/core/outcomes/cursor";
import { liveSecrets } from "@calendly-worker/core/outcomes/manage-destinations";
import type { Pusher } from "@calendly-worker/core/outcomes/push-request";
import { lastDropped, readOutcome } from "@calendly-worker/core/outcomes/read-stream";
import type { JobContext, JobHandler } from "@calendly-worker/core/queues/consumer";
import type { PushJob, pushesTo } from "@calendly-worker/core/queues/contracts";
import { ImpossibleJobError } from "@calendly-worker/core/queues/errors";
import type { PushQueues } from "@calendly-worker/core/queues/push-queues";
import type { Redis } from "@calendly-worker/core/redis/connect";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { Destination, DestinationStore } from "@calendly-worker/core/store/destinations";
import type { Notices } from "@calendly-worker/core/store/notices";
import type { Meter } from "@calendly-worker/core/telemetry/meter";

/** After so many failures in a row nothing is sent for a while, which doubles with each further one. */
const FAILURES_TO_OPEN = 5;
const FIRST_OPEN_MS = 5_000;
const LONGEST_OPEN_MS = 600_000;
/** After that one outcome alone finds out whether the destination is well again; the others look that often. */
const PROBE_LOOK_MS = 1_000;
/** Nobody may ask for a longer rest. */
const LONGEST_RETRY_AFTER_MS = 86_400_000;

const DAY_MS = 86_400_000;
const PAUSE_AFTER_MS = 5 * DAY_MS;
const NOTICE_AFTER_MS = DAY_MS;

/** Whoever is behind another in line is called by it; looking now and then is for the case that it was killed. */
const FIRST_LOOK_MS = 200;
const LONGEST_LOOK_MS = 30_000;

/** Pushes one outcome to one destination. */
export function pushOutcome(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly destinations: DestinationStore;
  readonly queues: PushQueues;
  readonly pusher: Pusher;
  readonly notices: Pick<Notices, "add" | "addOnceADay">;
  readonly meter: Pick<Meter, "count" | "observe">;
  readonly now: () => number;
}): JobHandler<ReturnType<typeof pushesTo>> {
  const { redis, shards, destinations, queues, pusher, notices, meter, now } = ports;
  const { line } = destinations;

  async function isFirstInLine(push: PushJob): Promise<boolean> {
    const { destinationId, subject } = push;
    const own = queues.jobId(push);
    // Who has been given up once has lost its place, and nobody waits for it.
    if (!(await line.has(destinationId, subject, own))) return true;
    for (;;) {
      const first = await line.first(destinationId, subject);
      if (first === undefined || first >= own) return true;
      if (await queues.isPending(destinationId, first)) return false;
      await line.leave(destinationId, subject, first);
    }
  }

  async function leaveLine(push: PushJob): Promise<void> {
    const { destinationId, subject } = push;
    await line.leave(destinationId, subject, queues.jobId(push));
    const next = await line.first(destinationId, subject);
    if (next !== undefined) await queues.hurry(destinationId, next);
  }

  async function rest(id: string, ms: number): Promise<void> {
    await destinations.open(id, now() + ms);
    await queues.hold(id, ms);
  }

  async function lookAgainSoon(id: string): Promise<void> {
    await queues.hold(id, PROBE_LOOK_MS);
    // Whoever found out that it is still sick may have said so in between: its rest is the longer one.
    const { openUntil = 0 } = await destinations.state(id);
    if (openUntil > now()) await queues.hold(id, openUntil - now());
  }

  async function pause({ id, url }: Destination, why: "gone" | "failing", said: string): Promise<void> {
    // First: whoever is killed in between says it twice rather than never, as nothing is tried any more afterwards.
    await notices.add({
      type: why === "gone" ? "destinations.gone" : "destinations.paused",
      subject: id,
      message: `Nothing is pushed to ${new URL(url).host} any more: ${said}. Outcomes wait for it. Let it go on with: calendly destinations resume ${id}`,
    });
    await destinations.setPaused(id, why);
    await queues.pause(id);
  }

  /** What follows for the destination as a whole. */
  async function noteFailure(
    destination: Destination,
    reason: string,
    retryAfterMs: number | undefined,
  ): Promise<void> {
    const { id, url } = destination;
    const { failures, failingSince } = await destinations.failed(id, reason);
    const failingMs = now() - failingSince;
    if (failingMs >= PAUSE_AFTER_MS) return await pause(destination, "failing", `it has failed for 5 days (${reason})`);
    if (failingMs >= NOTICE_AFTER_MS) {
      const message = `Pushing outcomes to ${new URL(url).host} has failed since ${new Date(failingSince).toISOString()}: ${reason}. After 5 days it is paused.`;
      await notices.addOnceADay({ type: "destinations.failing", subject: id, message });
    }
    const asked = Math.min(retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS);
    const open =
      failures < FAILURES_TO_OPEN ? 0 : Math.min(FIRST_OPEN_MS * 2 ** (failures - FAILURES_TO_OPEN), LONGEST_OPEN_MS);
    if (Math.max(asked, open) > 0) await rest(id, Math.max(asked, open));
  }

  return async (push, { isLastAttempt, starts, log }) => {
    const destination = await destinations.find(push.destinationId);
    if (destination === undefined) return "removed";
    if (destination.ordered && !(await isFirstInLine(push))) {
      return { result: "behind", againAfterMs: Math.min(FIRST_LOOK_MS * 2 ** Math.min(starts, 10), LONGEST_LOOK_MS) };
    }
    const isProbe = (await destinations.state(destination.id)).failures >= FAILURES_TO_OPEN;
    if (isProbe && !(await destinations.probe(destination.id))) {
      await lookAgainSoon(destination.id);
      return { result: "resting", againAfterMs: PROBE_LOOK_MS };
    }
    try {
      return await send(push, destination, isLastAttempt, log);
    } finally {
      if (isProbe) await destinations.probed(destination.id);
    }
  };

  async function send(
    push: PushJob,
    destination: Destination,
    isLastAttempt: boolean,
    log: JobContext["log"],
  ): Promise<string> {
    const shard = shards.all[push.shard];
    if (shard === undefined) throw new ImpossibleJobError(`there is no shard ${push.shard}`);
    const outcome = await readOutcome(redis, shard, push.streamId);
    if (outcome === undefined) {
      await leaveLine(push);
      if (compareStreamIds(push.streamId, await lastDropped(redis, shard)) > 0) return "erased";
      throw new ImpossibleJobError("the outcome was dropped by age before it could be pushed");
    }
    const startedAt = performance.now();
    const pushed = await pusher.push({
      url: destination.url,
      id: push.id,
      body: JSON.stringify(outcome.event),
      secrets: liveSecrets(destination.secrets, now()),
    });
    meter.count("pushes", { destination: destination.id, result: pushed.kind });
    meter.observe("pushTime", { destination: destination.id }, (performance.now() - startedAt) / 1_000);
    switch (pushed.kind) {
      case "delivered":
        await destinations.succeeded(destination.id);
        await leaveLine(push);
        log.info({ outcome: push.id, destination: destination.id, status: pushed.status }, "pushed");
        return "delivered";
      case "gone":
        await destinations.failed(destination.id, "answered 410");
        await pause(destination, "gone", "it answered 410 (gone)");
        await leaveLine(push);
        throw new ImpossibleJobError("answered 410: the destination is gone");
      case "refused":
        await destinations.failed(destination.id, pushed.reason);
        await leaveLine(push);
        throw new ImpossibleJobError(pushed.reason);
      case "failed":
        await noteFailure(destination, pushed.reason, pushed.retryAfterMs);
        if (isLastAttempt) await leaveLine(push);
        throw new Error(pushed.reason);
    }
  }
}
