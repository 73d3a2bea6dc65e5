import { setTimeout as pause } from "node:timers/promises";
import type { DataOf } from "@calendly-worker/core/queues/contract";
import { sweeps } from "@calendly-worker/core/queues/contracts";
import { liveInstances } from "@calendly-worker/core/store/instances";
import type { SweepRun } from "@calendly-worker/core/store/sweep-runs";
import type { Installation } from "./installation.ts";
import { pausedWarning } from "./paused.ts";

type Range = Extract<DataOf<typeof sweeps>, { kind: "range" }>;
type History = Extract<DataOf<typeof sweeps>, { kind: "history" }>;

const LOOK_EVERY_MS = 500;

/** Long work is the workers': without one it would wait for ever. */
export async function requireWorker({ redis }: Installation): Promise<void> {
  if ((await liveInstances(redis, "worker")).length === 0) {
    throw new Error("no worker of this installation lives: start one, it is what compares with Calendly's API");
  }
}

/**
 * Waits a while for the workers, and says it when somebody keeps them from the work, or when a try of it has failed: all
 * tries together take hours.
 */
function waitForWorkers(
  installation: Installation,
  job: Range | History,
  note: (line: string) => void,
): () => Promise<void> {
  const { sweepJobs, shards } = installation;
  let wasPaused = false;
  let failed = 0;

  async function tellFailure(): Promise<void> {
    const { tries, reason } = (await sweepJobs.lastFailure(shards.first, job)) ?? { tries: 0, reason: "" };
    if (tries > 0 && tries < sweeps.attempts && tries !== failed) {
      const why = reason.replace(/\.$/, "");
      note(
        `Try ${tries} of ${sweeps.attempts} failed: ${why}. It is tried again, also where Ctrl-C ends this command.`,
      );
    }
    failed = tries;
  }

  return async () => {
    await requireWorker(installation);
    const isPaused = await sweepJobs.isPaused(shards.first);
    if (isPaused && !wasPaused) note(`${pausedWarning(sweeps.name)} This waits for that.`);
    wasPaused = isPaused;
    await tellFailure();
    await pause(LOOK_EVERY_MS);
  };
}

/**
 * Has a worker compare a range of events with Calendly's API, or waits for the one of that name that is under way, and
 * gives its report. `note` is told what it waits for, `onProgress` now and then how far it is.
 */
export async function compareRange(
  installation: Installation,
  range: Range,
  note: (line: string) => void,
  onProgress: (run: SweepRun) => void = () => {},
): Promise<SweepRun> {
  const { runs, sweepJobs, shards } = installation;
  const wait = waitForWorkers(installation, range, note);
  if ((await runs.report(range.name)) === undefined) await sweepJobs.ensure(shards.first, range, 0);
  let seen = -1;
  for (;;) {
    const report = await runs.report(range.name);
    if (report !== undefined) return report;
    const run = await runs.current(range.name);
    if (run !== undefined && run.seen !== seen) {
      seen = run.seen;
      onProgress(run);
    }
    // Looked at before the report: a job ends after that is written.
    const isPending = await sweepJobs.isPending(shards.first, range);
    if (!isPending && (await runs.report(range.name)) === undefined) {
      throw new Error("the comparison was given up: the worker's log says why");
    }
    await wait();
  }
}

/**
 * Has a worker tell the history of all bookings, and waits until its job has ended. That may have been given up: what is
 * history still says how much of it was told.
 */
export async function tellHistory(
  installation: Installation,
  history: History,
  note: (line: string) => void,
): Promise<void> {
  const { sweepJobs, shards } = installation;
  const wait = waitForWorkers(installation, history, note);
  await sweepJobs.ensure(shards.first, history, 0);
  while (await sweepJobs.isPending(shards.first, history)) await wait();
}

/** A run's counts in words, one line each. */
export function reportLines({
  seen,
  read,
  unreadable,
  passedOver = 0,
  requests,
  facts,
  missed,
  historical,
  longestLagMs,
  isDryRun,
}: SweepRun): string[] {
  const found = Object.entries(missed).filter(([, count]) => count > 0);
  const total = found.reduce((sum, [, count]) => sum + count, 0);
  const verb = isDryRun ? "are missing" : "were missing and have been taken up";
  const age = Math.round(longestLagMs / 1_000);
  return [
    `${seen} events seen, ${read} of them read, ${requests} requests.`,
    total === 0
      ? `None of ${facts} facts is missing.`
      : `${total} of ${facts} facts ${verb}; the oldest is ${age} s old.`,
    ...found.map(([kind, count]) => `  ${kind}: ${count}`),
    ...(unreadable > 0
      ? [`${unreadable} events or invitees do not fit, and were left out: the worker's log says why.`]
      : []),
    ...(passedOver > 0
      ? [
          `${passedOver} events were passed over, as their invitees cannot be read: the worker's log says which and why.`,
        ]
      : []),
    ...(historical > 0
      ? [`${historical} facts are history: from before this installation began, and told to nobody.`]
      : []),
  ];
}
