import { setTimeout as pause } from "node:timers/promises";
import { DelayedError, type Job, UnrecoverableError, Worker } from "bullmq";
import type { Redis } from "../redis/connect.ts";
import { isConnectionError } from "../redis/connect.ts";
import { RedisUnavailableError } from "../redis/deadline.ts";
import type { Shard } from "../redis/keys.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Meter } from "../telemetry/meter.ts";
import type { DataOf, QueueContract } from "./contract.ts";
import { ImpossibleJobError } from "./errors.ts";
import { HEARTBEAT } from "./heartbeats.ts";
import { retryDelay } from "./retry-delay.ts";
import { createStandBack } from "./stand-back.ts";

export interface JobContext {
  readonly id: string;
  readonly name: string;
  /** That the job lies in, with the word that it has ended. */
  readonly shard: Shard;
  /** 1 at the first try. */
  readonly attempt: number;
  /** When this one fails, the job is given up. */
  readonly isLastAttempt: boolean;
  /** How often it was begun, this time included; an `Again` begins it anew without spending an attempt. */
  readonly starts: number;
  /** Aborts when the job should hand itself back because the worker stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** The job did what it could for now, and is to be begun again after that time. */
export interface Again {
  readonly result: string;
  readonly againAfterMs: number;
}

/** A job's work. Resolves with a word on how it ended; throws to be tried again, ImpossibleJobError to be given up. */
export type JobHandler<Contract extends QueueContract> = (
  data: DataOf<Contract>,
  context: JobContext,
) => Promise<string | Again>;

export interface Consumer {
  readonly queue: string;
  readonly shard: Shard;
  /** Jobs of the queue that are begun a minute at most; undefined where there is no limit. */
  readonly perMinute: number | undefined;
  isRunning(): boolean;
  /** Whether it would begin a job if there were one, as far as it knows. */
  isListening(): boolean;
  /** How many jobs it has begun. */
  begun(): number;
  /** Takes no new job; running ones get `deadlineMs` to finish and are then handed back. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * A worker killed in the middle of a job is not the job's fault, so a job may be found without its worker this often
 * before it counts as failed.
 */
const MAX_STALLED_COUNT = 20;

export function createConsumer<Contract extends QueueContract>(ports: {
  readonly redis: Redis;
  readonly shard: Shard;
  readonly contract: Contract;
  readonly handle: JobHandler<Contract>;
  readonly concurrency: number;
  /** Jobs of the queue that are begun a minute at most, by all workers together. */
  readonly perMinute?: number;
  readonly lockMs: number;
  readonly stalledCheckMs: number;
  readonly meter: Meter;
  /** A heartbeat went through the queue. */
  readonly onHeartbeat: (queue: string, shard: Shard) => Promise<void>;
  readonly log: Logger;
}): Consumer {
  const { contract, shard, handle, meter, onHeartbeat } = ports;
  const family = contract.family ?? contract.name;
  const log = ports.log.child({ queue: contract.name, shard: shard.index });

  let active = 0;
  let begun = 0;
  /** Resolves once the worker is closing and its last job has ended. */
  const noneActive = Promise.withResolvers<void>();

  /** However long replicas are away, that is no failure of a job: it must not be given up for it. */
  function againWhenReplicated(err: unknown, { attemptsStarted }: Job, log: Logger): Again {
    if (!(err instanceof RedisUnavailableError)) throw err;
    log.warn({ err }, "job waits for replicas");
    return { result: "not replicated", againAfterMs: retryDelay(contract.retry, attemptsStarted, Math.random) };
  }

  async function run(job: Job, token: string | undefined, signal = new AbortController().signal): Promise<string> {
    begun += 1;
    if (job.name === HEARTBEAT) {
      await onHeartbeat(contract.name, shard);
      return HEARTBEAT;
    }
    const startedAt = performance.now();
    active += 1;
    const attempt = job.attemptsMade + 1;
    const about = { job: job.name, jobId: job.id, attempt };
    let jobLog: Logger | undefined;
    let result = "failed";
    let how: "done" | "again" | "failed" | "given_up" = attempt >= contract.attempts ? "given_up" : "failed";
    try {
      const data = contract.data.safeParse(job.data);
      if (!data.success) {
        const problems = data.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
        throw new ImpossibleJobError(
          `the job's data does not fit the contract of ${contract.name}: ${problems.join("; ")}`,
        );
      }
      const ofJob = log.child({ ...about, identity: contract.identity(data.data) });
      jobLog = ofJob;
      const handled = handle(data.data as DataOf<Contract>, {
        id: job.id ?? "",
        name: job.name,
        shard,
        attempt,
        isLastAttempt: attempt >= contract.attempts,
        starts: job.attemptsStarted,
        signal,
        log: ofJob,
      });
      const ended = await handled.catch((err: unknown) => againWhenReplicated(err, job, ofJob));
      result = typeof ended === "string" ? ended : ended.result;
      how = typeof ended === "string" ? "done" : "again";
      if (typeof ended === "string") return result;
      await job.moveToDelayed(Date.now() + ended.againAfterMs, token);
      throw new DelayedError();
    } catch (err) {
      if (err instanceof DelayedError) throw err;
      jobLog ??= log.child(about);
      if (err instanceof ImpossibleJobError) {
        how = "given_up";
        jobLog.error({ err }, "job can never work, kept as failed");
        throw new UnrecoverableError(err.message);
      }
      jobLog.warn({ err, attemptsLeft: Math.max(contract.attempts - attempt, 0) }, "job failed");
      throw err;
    } finally {
      active -= 1;
      if (active === 0 && worker.closing !== undefined) noneActive.resolve();
      const ms = performance.now() - startedAt;
      const labels = { queue: family, job: job.name };
      meter.count("jobs", { ...labels, result: how });
      meter.observe("jobTime", labels, ms / 1_000);
      if (how === "done" || how === "given_up") meter.observe("jobAttempts", labels, attempt);
      jobLog ??= log.child(about);
      jobLog.info({ result, ms: Math.round(ms) }, "job ended");
    }
  }

  const worker = new Worker(contract.name, run, {
    connection: ports.redis,
    prefix: shard.tag,
    concurrency: ports.concurrency,
    lockDuration: ports.lockMs,
    stalledInterval: ports.stalledCheckMs,
    maxStalledCount: MAX_STALLED_COUNT,
    ...(ports.perMinute !== undefined && { limiter: { max: ports.perMinute, duration: 60_000 } }),
    settings: { backoffStrategy: (attempt) => retryDelay(contract.retry, attempt, Math.random) },
  });
  const standBack = createStandBack(worker, log);
  worker.on("error", (err) => {
    // Redis being away is said once by the connection itself; here it would be said at every attempt.
    if (isConnectionError(err)) log.debug({ err }, "worker error");
    else if (err.name === "ReplyError") standBack.begin(err);
    else log.warn({ err }, "worker error");
  });
  worker.on("stalled", (jobId) => log.warn({ jobId }, "took over a job whose worker went silent"));

  return {
    queue: contract.name,
    shard,
    perMinute: ports.perMinute,
    isRunning: () => worker.isRunning() && !worker.isPaused(),
    isListening: () => active < ports.concurrency && !standBack.isResting(),
    begun: () => begun,
    async close(deadlineMs) {
      standBack.end();
      const closing = worker.close();
      // With Redis away, close() never returns; the jobs' locks run out and another worker takes them.
      const finished = Promise.race([closing, noneActive.promise.then(() => pause(HAND_BACK_MS))]);
      if (active === 0) noneActive.resolve();
      if (await settledWithin(deadlineMs, finished)) return;
      log.warn({ deadlineMs, active }, "jobs did not finish in time, handing them back");
      worker.cancelAllJobs("the worker stops");
      await settledWithin(HAND_BACK_MS, closing);
    },
  };
}

/** Time that handing jobs back, or saying goodbye to Redis, may take before the worker leaves without. */
const HAND_BACK_MS = 1_000;

/** Whether the promise resolves in time. */
async function settledWithin(ms: number, pending: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const late = pause(ms, false, { signal: timer.signal }).catch(() => false);
  const inTime = await Promise.race([pending.then(() => true), late]);
  timer.abort();
  return inTime;
}
