import { setTimeout as pause } from "node:timers/promises";
import type { Attempt } from "../simulator/deliverer.ts";
import type { Fault } from "./faults.ts";
import { type Installation, startInstallation } from "./installation.ts";
import { drawUp, type Ledger } from "./ledger.ts";
import { type Load, startLoad } from "./load.ts";

/** What became of a fault under load. */
export interface Row {
  readonly fault: string;
  /** Why it may lose what was acknowledged; absent where it may not. */
  readonly mayLose?: string;
  readonly seed: number;
  /** Tries to deliver, repetitions and forged ones included. */
  readonly sent: number;
  /** Answered 200. */
  readonly acknowledged: number;
  /** Answered anything else, or not at all; each was tried again. */
  readonly refused: number;
  readonly ledger: Ledger;
  readonly forgedAndAccepted: number;
  /** The longest time in which no try was acknowledged while some were refused. */
  readonly longestRefusalMs: number;
  /** From the fault's end until something was acknowledged again, and an outcome of it or another one published. */
  readonly recoveryMs: number;
}

export interface RunOptions {
  readonly seed: number;
  readonly deliveriesPerSecond: number;
  /** How long things happen before the fault, and after it. */
  readonly calmMs: number;
  /** How long a fault lasts that has no length of its own. */
  readonly faultMs: number;
}

const SETTLE_MS = 120_000;

/** Brings a fault about under load, and draws up the ledger. Rejects where the fault's own assertion does not hold. */
export async function run(fault: Fault, options: RunOptions): Promise<Row> {
  const { seed, deliveriesPerSecond, calmMs, faultMs } = options;
  const installation = await startInstallation({ seed, ...fault.installation });
  let load: Load | undefined;
  try {
    load = startLoad(installation.simulator, installation.webhookUrl, deliveriesPerSecond);
    await pause(calmMs);
    const verify = await fault.bringAbout(installation, faultMs);
    const endedAt = Date.now();
    await pause(calmMs);
    await load.finish(SETTLE_MS);
    await installation.untilIdle(SETTLE_MS);
    await verify?.();
    return await rowOf(fault, seed, installation, load, endedAt);
  } catch (error) {
    const tail = installation.output().split("\n").slice(-20).join("\n");
    throw new Error(`${fault.name}, seed ${seed}: ${(error as Error).message}\n${tail}`, { cause: error });
  } finally {
    load?.stop();
    await installation.close();
  }
}

async function rowOf(
  { name, mayLose }: Fault,
  seed: number,
  { redis, shards }: Installation,
  load: Load,
  faultEndedAt: number,
): Promise<Row> {
  const attempts = load.attempts();
  const ledger = await drawUp({
    redis,
    shards,
    chains: load.chains(),
    acknowledged: load.acknowledged(),
    unfit: load.unfit,
  });
  const isTaken = ({ status }: Attempt) => status === 200;
  return {
    fault: name,
    ...(mayLose === undefined ? {} : { mayLose }),
    seed,
    sent: attempts.length + load.unfit.size + load.forged().sent,
    acknowledged: attempts.filter(isTaken).length + load.unfit.size,
    refused: attempts.filter((attempt) => !isTaken(attempt)).length,
    ledger,
    forgedAndAccepted: load.forged().accepted,
    longestRefusalMs: longestRefusal(attempts),
    recoveryMs: Math.max(
      firstAfter(faultEndedAt, attempts.filter(isTaken).map(endOf)),
      firstAfter(faultEndedAt, await publishedAt(redis, shards)),
    ),
  };
}

const endOf = ({ sentAt, ms }: Attempt) => Date.parse(sentAt) + ms;

function longestRefusal(attempts: readonly Attempt[]): number {
  let longest = 0;
  let since: number | undefined;
  for (const attempt of attempts) {
    if (attempt.status === 200) since = undefined;
    else {
      since ??= Date.parse(attempt.sentAt);
      longest = Math.max(longest, endOf(attempt) - since);
    }
  }
  return longest;
}

function firstAfter(from: number, times: readonly number[]): number {
  const later = times.filter((time) => time >= from);
  return later.length === 0 ? Infinity : later.reduce((first, time) => Math.min(first, time)) - from;
}

async function publishedAt(redis: Installation["redis"], shards: Installation["shards"]): Promise<number[]> {
  const read = await Promise.all(shards.all.map(({ tag }) => redis.xrange(`${tag}:outcomes`, "-", "+")));
  return read.flat().map(([id]) => Number(id.split("-")[0]));
}
