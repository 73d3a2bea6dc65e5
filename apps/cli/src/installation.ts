import type { Config } from "@calendly-worker/core/config/load";
import type { Lifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { createJobSearch } from "@calendly-worker/core/queues/job-search";
import { connectWorker, disconnect, untilReady } from "@calendly-worker/core/redis/connect";
import { checkDeployment } from "@calendly-worker/core/redis/deployment";
import { createShards } from "@calendly-worker/core/redis/keys";
import { createBookingStore } from "@calendly-worker/core/store/bookings";
import { createEraser } from "@calendly-worker/core/store/eraser";
import { createHostTimes } from "@calendly-worker/core/store/host-times";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import type { Logger } from "@calendly-worker/core/telemetry/logger";

export type Installation = Awaited<ReturnType<typeof openInstallation>>;

/** What every command is given. */
export interface CommandPorts {
  open(): Promise<Installation>;
  readonly input: NodeJS.ReadableStream;
  say(line: string): void;
  note(line: string): void;
}

const CONNECT_DEADLINE_MS = 5_000;

/** The stores of the installation whose Redis REDIS_URL names. The lifecycle closes them. */
export async function openInstallation(config: Config, lifecycle: Lifecycle, log: Logger) {
  const shards = createShards(config.CALENDLY_SHARDS);
  const retentionDays = config.CALENDLY_BOOKING_RETENTION_DAYS;
  const now = Date.now;
  const redis = lifecycle.own("redis", connectWorker(config.REDIS_URL, log), disconnect);
  try {
    await untilReady(redis, AbortSignal.timeout(CONNECT_DEADLINE_MS));
  } catch (cause) {
    const seconds = CONNECT_DEADLINE_MS / 1_000;
    throw new Error(`Redis could not be reached within ${seconds} s. REDIS_URL says where it is.`, { cause });
  }
  await checkDeployment(redis, shards);

  const bookings = createBookingStore({ redis, shards, retentionDays, now });
  const search = createJobSearch({ redis, shards, contract: deliveries });
  lifecycle.own("job search", search, () => search.close());
  const hostTimes = createHostTimes({ redis, shards, retentionDays, now, alternativesTo: async () => null });
  const quarantine = createQuarantine({ redis, shards, retentionDays });
  const eraser = createEraser({ redis, shards, bookings, hostTimes, quarantine, deliveries: search, now });
  return { shards, bookings, eraser };
}
