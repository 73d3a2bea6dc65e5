import { setTimeout as pause } from "node:timers/promises";
import { createRandom } from "../simulator/random.ts";
import type { AppProcess } from "../support/app-process.ts";
import { COLLECTED } from "../support/collect-garbage.ts";
import { until } from "../support/until.ts";
import { type AfterRetention, goOnInTenYears, type Holding, holdingOf } from "./after-retention.ts";
import { FAULTS, type Fault, isPossible } from "./faults.ts";
import { type Installation, startInstallation } from "./installation.ts";
import { drawUp, type Ledger } from "./ledger.ts";
import { startLoad } from "./load.ts";

export interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly deliveriesPerSecond: number;
  /** From the end of a fault to the beginning of the next one. */
  readonly calmMs: number;
  readonly faultMs: number;
  /** Whether to look in the end at what is left when all is past its retention; needs `faketime`. */
  readonly ages: boolean;
  readonly onSample: (sample: Sample) => void;
  /** Is told what is done when the load is over, and of what goes otherwise before. */
  readonly onProgress: (what: string) => void;
}

/** How things are at one moment. */
export interface Sample {
  /** Since the start. */
  readonly minutes: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly waiting: number;
  /** Heap in use after a collection, in MB, of the ingest and of the worker that are never ended. */
  readonly ingestMb: number;
  readonly workerMb: number;
  readonly redisKeys: number;
  readonly redisMb: number;
  readonly faults: number;
}

export interface SoakReport {
  readonly ledger: Ledger;
  /** Faults that could not be brought about, or whose own assertion did not hold, with what the apps said last. */
  readonly problems: readonly string[];
  readonly faults: Readonly<Record<string, number>>;
  readonly forgedAndAccepted: number;
  readonly samples: readonly Sample[];
  /**
   * MB an hour that the smallest heap of each minute, as collections of garbage have left it, grows in the second
   * half of the time; and by how much that may be wrong (two standard errors).
   */
  readonly ingestSlope: Slope;
  readonly workerSlope: Slope;
  readonly keysPerBooking: number;
  readonly atStart: Holding;
  readonly afterRetention?: AfterRetention;
}

export interface Slope {
  readonly perHour: number;
  readonly noise: number;
}

const SAMPLE_MS = 2_000;
const COLLECTING = ["--expose-gc", "--import", new URL("../support/collect-garbage.ts", import.meta.url).href];
/** With `appendfsync always` a job mostly waits for the disk, and what faults have left is to be caught up with. */
const VARIABLES = { WORKER_CONCURRENCY: "40" };
const SETTLE_MS = 900_000;

/** One that leaves the ingest and the first worker alive, so that their memory tells something. */
const SECOND_WORKER_KILLED: Fault = {
  name: "a worker: kill -9",
  async bringAbout({ workers: [, second] }) {
    const before = second.now();
    await second.end("SIGKILL");
    await until("it is started again", () => second.now() !== before, { deadlineMs: 60_000 });
    return undefined;
  },
};

/** Faults that one installation can have one after the other. */
export const STEADY_FAULTS: readonly Fault[] = [
  SECOND_WORKER_KILLED,
  ...FAULTS.filter(isPossible).filter(
    ({ name, installation, mayLose }) =>
      name !== "none" &&
      installation === undefined &&
      mayLose === undefined &&
      !/^(ingest|workers|rollback)\b.*:/.test(name),
  ),
];

/** Hurts an installation again and again for so long, in an order that the seed says. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seed, minutes, deliveriesPerSecond, calmMs, faultMs, ages, onSample, onProgress } = options;
  const installation = await startInstallation({ seed, nodeOptions: COLLECTING, variables: VARIABLES });
  const atStart = await holdingOf(installation);
  const { redis, shards, simulator } = installation;
  const samples: Sample[] = [];
  const takeSample = createSampler(installation);
  const counts: Record<string, number> = {};
  const problems: string[] = [];
  const startedAt = performance.now();
  const elapsed = () => (performance.now() - startedAt) / 60_000;
  const stopping = new AbortController();
  const load = startLoad(simulator, installation.webhookUrl, deliveriesPerSecond);
  try {
    const sampling = (async () => {
      while (!stopping.signal.aborted) {
        const faults = Object.values(counts).reduce((sum, count) => sum + count, 0);
        // While Redis or an app is away there is nothing to be seen.
        const sample = await takeSample(elapsed(), faults).catch(() => undefined);
        if (sample !== undefined) {
          samples.push(sample);
          onSample(sample);
        }
        await pause(SAMPLE_MS, undefined, { signal: stopping.signal }).catch(() => {});
      }
    })();
    const random = createRandom(seed + 13);
    while (elapsed() < minutes) {
      await pause(calmMs);
      const fault = random.pick(STEADY_FAULTS);
      counts[fault.name] = (counts[fault.name] ?? 0) + 1;
      try {
        const verify = await fault.bringAbout(installation, faultMs);
        await verify?.();
      } catch (error) {
        // What has been shown by then is not thrown away.
        const tail = installation.output().split("\n").slice(-20).join("\n");
        problems.push(`minute ${elapsed().toFixed(1)}, ${fault.name}: ${(error as Error).message}\n${tail}`);
        onProgress(`a fault went otherwise: ${fault.name}: ${(error as Error).message}`);
      }
    }
    onProgress("waiting until everything is acknowledged and worked on");
    await load.finish(SETTLE_MS);
    await installation.untilIdle(SETTLE_MS);
    stopping.abort();
    await sampling;
    onProgress("holding what is kept against what happened");
    const chains = load.chains();
    const evidence = { redis, shards, chains, acknowledged: load.acknowledged(), unfit: load.unfit };
    const ledger = await drawUp(evidence);
    const keysPerBooking = (await redis.dbsize()) / chains.length;
    const later = samples.filter((sample) => sample.minutes > minutes / 2);
    if (ages) onProgress("letting ten years pass");
    return {
      ledger,
      problems,
      faults: counts,
      forgedAndAccepted: load.forged().accepted,
      samples,
      ingestSlope: slopeOf(floorOf(later, ({ ingestMb }) => ingestMb)),
      workerSlope: slopeOf(floorOf(later, ({ workerMb }) => workerMb)),
      keysPerBooking,
      atStart,
      ...(ages && { afterRetention: await goOnInTenYears(installation) }),
    };
  } finally {
    stopping.abort();
    load.stop();
    await installation.close();
  }
}

function createSampler({ ingest, workers, redis, simulator, shards }: Installation) {
  let attempts = 0;
  let acknowledged = 0;
  return async (minutes: number, faults: number): Promise<Sample> => {
    const news = simulator.attempts(attempts);
    attempts += news.length;
    acknowledged += news.filter(({ status }) => status === 200).length;
    const [info, redisKeys, ...waiting] = await Promise.all([
      redis.info("memory"),
      redis.dbsize(),
      ...shards.all.map(({ tag }) => redis.llen(`${tag}:deliveries:wait`)),
    ]);
    return {
      minutes,
      acknowledged,
      refused: attempts - acknowledged,
      waiting: waiting.reduce((sum, count) => sum + count, 0),
      ingestMb: heapOf(ingest.now()),
      workerMb: heapOf(workers[0].now()),
      redisKeys,
      redisMb: Math.round(Number(/used_memory:(\d+)/.exec(info)?.[1] ?? 0) / 2 ** 20),
      faults,
    };
  };
}

/** In MB, what the last collection has left of it. */
function heapOf(app: AppProcess): number {
  const collected = app.logs.findLast(({ msg }) => msg === COLLECTED);
  if (collected === undefined) throw new Error("no garbage has been collected yet");
  return Number(collected["heapMb"]);
}

/** The smallest value of each minute, by the hour. */
export function floorOf(
  samples: readonly Sample[],
  of: (sample: Sample) => number,
): (readonly [hours: number, value: number])[] {
  const minutes = Map.groupBy(samples, (sample) => Math.floor(sample.minutes));
  return [...minutes].map(([minute, all]) => [minute / 60, Math.min(...all.map(of))] as const);
}

/**
 * The line of least squares through the points. What is left beside it hangs together from one point to the next (what a
 * heap holds now it mostly holds a minute later), so that there are fewer points than it seems: their number is taken times
 * (1 - r) / (1 + r), r being the correlation of each with the one before.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const count = points.length;
  const mean = (pick: 0 | 1) => points.reduce((sum, point) => sum + point[pick], 0) / count;
  const [meanX, meanY] = [mean(0), mean(1)];
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perHour = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.map(([x, y]) => y - meanY - perHour * (x - meanX));
  const left = rest.reduce((sum, one) => sum + one ** 2, 0);
  const together = rest.reduce((sum, one, index) => sum + one * (rest[index - 1] ?? 0), 0);
  const r = left === 0 ? 0 : Math.max(0, together / left);
  return { perHour, noise: 2 * Math.sqrt(((left / (count - 2) / spread) * (1 + r)) / (1 - r)) };
}
