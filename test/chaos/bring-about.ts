import { setTimeout as pause } from "node:timers/promises";
import type { Faults as CalendlyFaults } from "../simulator/faults.ts";
import { jobCount } from "../support/job-count.ts";
import { FAIL_OVER_MS } from "../support/redis-node.ts";
import { until } from "../support/until.ts";
import type { Installation, Release } from "./installation.ts";
import type { Role } from "./role.ts";

/**
 * Hurts an installation. Resolves when that is over; what it gives is called once all is settled, and throws where what
 * must hold beside the ledger does not.
 */
export type BringAbout = (installation: Installation, ms: number) => Promise<(() => void | Promise<void>) | undefined>;

/** On a machine that has other things to do as well. */
const PATIENCE = { deadlineMs: 60_000, everyMs: 50 };

export function expectThat(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(`expected that ${what}`);
}

/** Waits until the ingest says by itself that it takes nothing, lets that last so long, and mends it, whatever was seen. */
export async function notReadyFor({ webhookUrl }: Installation, ms: number, mend: () => unknown): Promise<undefined> {
  const ask = () => fetch(new URL("/readyz", webhookUrl), { signal: AbortSignal.timeout(5_000) });
  const isNotReady = async () => (await ask().catch(() => undefined))?.status === 503;
  try {
    await until("the ingest says that it is not ready", isNotReady, PATIENCE);
    await pause(ms);
  } finally {
    await mend();
  }
}

export const ended =
  (signal: "SIGTERM" | "SIGKILL", ...roles: ("ingest" | "workers")[]): BringAbout =>
  async ({ ingest, workers }, ms) => {
    const chosen = [...(roles.includes("ingest") ? [ingest] : []), ...(roles.includes("workers") ? workers : [])];
    for (let round = 0; round < 2; round++) {
      const before = chosen.map((role) => role.now());
      await Promise.all(chosen.map((role) => role.end(signal)));
      await until("each is started again", () => chosen.every((role, index) => role.now() !== before[index]), PATIENCE);
      const said = (what: string) => (role: Role) => role.now().untilLogged(what, PATIENCE.deadlineMs);
      const ready = roles.includes("ingest") ? said("ready for deliveries")(ingest) : undefined;
      const taking = roles.includes("workers") ? workers.map(said("taking jobs")) : [];
      await Promise.all([ready, ...taking]);
      await pause(ms / 4);
    }
    return async () => {
      const ends = await Promise.all(chosen.flatMap(({ all }) => all.slice(0, 2).map(({ exited }) => exited)));
      const isRight = ends.every(({ code, signal: by }) => (signal === "SIGTERM" ? code === 0 : by === "SIGKILL"));
      expectThat(isRight, `each ended as told, not ${JSON.stringify(ends)}`);
    };
  };

export const redisGone =
  (how: "killed" | "frozen"): BringAbout =>
  async (installation, ms) => {
    const { server } = installation;
    await (how === "killed" ? server.kill() : server.freeze());
    return await notReadyFor(installation, ms / 2, () => (how === "killed" ? server.restart() : server.thaw()));
  };

/** What happens until the primary is missed is refused, and the rows are many. */
const SOON_MS = 1_000;

/** The old primary comes back as a replica of the new one. */
export const failOver =
  (how: "killed" | "frozen"): BringAbout =>
  async ({ server, redis, shards, several }, ms) => {
    if (several === undefined) throw new Error("there is nobody to take over from a single Redis");
    const isElsewhere = async () => (await several.primaryPort(shards.first.tag)) !== server.port;
    expectThat(!(await isElsewhere()), "the server that is hurt is the first shard's primary");
    await several.failOverAfter(SOON_MS);
    await (how === "killed" ? server.kill() : server.freeze());
    await until("another one is the primary", isElsewhere, PATIENCE);
    // On a busy machine the new one may not answer for a second either.
    await several.failOverAfter(FAIL_OVER_MS);
    // It stands still for longer than its clients wait for an answer: this is one of them.
    if (how === "frozen") await redis.ping();
    await pause(ms / 2);
    await (how === "killed" ? server.restart() : server.thaw());
    return async () => expectThat(await isElsewhere(), "the new primary stayed it");
  };

export const calendlyIs =
  (change: Partial<CalendlyFaults>): BringAbout =>
  async ({ simulator }, ms) => {
    const before = simulator.requests().length;
    simulator.setFaults(change);
    await pause(ms);
    const isAsked = () => simulator.requests().length > before;
    // A worker that knows it from a fault before does not ask again at once.
    await until("Calendly's API is asked for something", isAsked, PATIENCE).finally(() =>
      simulator.setFaults({ api: "well", apiLatencyMs: 0 }),
    );
    return undefined;
  };

/** Workers of both releases share the queue for a while, and so do the jobs that waited for them. */
export const deployed =
  (release: Release): BringAbout =>
  async (installation, ms) => {
    const { redis, shards, ingest, workers } = installation;
    const before = [ingest, ...workers].map((role) => role.now());
    for (const worker of workers) worker.freeze();
    await until("jobs wait", async () => (await jobCount(redis, shards.first, "deliveries")) > 50, PATIENCE);
    await pause(ms / 2);
    await installation.deploy(release);
    return async () => {
      const ends = await Promise.all(before.map(({ exited }) => exited));
      expectThat(
        ends.every(({ code }) => code === 0),
        `each ended as told, not ${JSON.stringify(ends)}`,
      );
    };
  };

/** Deliveries are signed by a clock that is not ours. */
export const clockIs =
  (aheadMs: number): BringAbout =>
  async ({ simulator }, ms) => {
    const before = simulator.attempts().length;
    simulator.setFaults({ signatureClockSkewMs: aheadMs });
    await pause(ms);
    simulator.setFaults({ signatureClockSkewMs: 0 });
    return () => {
      const refused = simulator
        .attempts(before)
        .filter(({ body }) => JSON.stringify(body)?.includes("timestamp_outside_window"));
      expectThat(refused.length > 10, `deliveries out of time were refused, and not ${refused.length} alone`);
    };
  };
