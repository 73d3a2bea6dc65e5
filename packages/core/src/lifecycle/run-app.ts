import { readEnvironment } from "../config/environment.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { RefusalError } from "../config/refusal.ts";
import type { App } from "../config/variable.ts";
import { createLogger, type Logger } from "../telemetry/logger.ts";
import { createLifecycle, type Lifecycle } from "./lifecycle.ts";
import { requireNode } from "./node-version.ts";

/** Exit codes of every app. A supervisor starts a failed app again; a refusal it does not. */
export const EXIT = { clean: 0, failed: 1, refused: 78 } as const;

/** Ctrl-C reaches a process twice when a package manager passes it on, so a second signal counts only after this. */
const SECOND_SIGNAL_MS = 1_000;
/** What closing may take beyond the time that work in flight is given. */
export const CLOSING_MS = 5_000;

/**
 * Runs an app until a signal, or until the process that started it with an IPC channel is gone: configuration, logger
 * and lifecycle in, exit code out. `start` resolves when the app is up.
 */
export async function runApp<A extends App>(
  process: NodeJS.Process,
  app: A,
  start: (parts: {
    config: Config<A>;
    lifecycle: Lifecycle;
    log: Logger;
    /** Ends the app as failed, so that whoever supervises it starts another. */
    fail: (reason: string) => void;
  }) => Promise<void>,
): Promise<void> {
  let config: Config<A>;
  try {
    requireNode();
    config = loadConfig([app], readEnvironment());
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(EXIT.refused);
  }
  const log = createLogger({ app, level: config.LOG_LEVEL, format: config.LOG_FORMAT });
  const lifecycle = createLifecycle(log);
  let stoppingSince: number | undefined;

  async function stop(reason: string, code: number): Promise<void> {
    if (stoppingSince !== undefined) {
      if (performance.now() - stoppingSince < SECOND_SIGNAL_MS) return;
      log.warn({ reason }, "told again to stop, leaving at once");
      process.exit(EXIT.failed);
    }
    stoppingSince = performance.now();
    const deadlineMs = (config.SHUTDOWN_DELAY + config.SHUTDOWN_DEADLINE) * 1_000 + CLOSING_MS;
    setTimeout(() => {
      log.error({ deadlineMs }, "did not stop in time, leaving at once");
      process.exit(EXIT.failed);
    }, deadlineMs).unref();
    const clean = await lifecycle.close(reason).then(
      () => true,
      () => false,
    );
    process.exit(clean ? code : Math.max(code, EXIT.failed));
  }

  function crash(err: unknown): void {
    log.fatal({ err }, "unexpected error, leaving at once");
    process.exit(EXIT.failed);
  }

  process.on("SIGTERM", () => void stop("SIGTERM", EXIT.clean));
  process.on("SIGINT", () => void stop("SIGINT", EXIT.clean));
  process.on("disconnect", () => void stop("the parent process is gone", EXIT.clean));
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);

  try {
    await start({ config, lifecycle, log, fail: (reason) => void stop(reason, EXIT.failed) });
  } catch (err) {
    if (lifecycle.signal.aborted) return;
    const refusal = err instanceof RefusalError;
    if (refusal) log.fatal({ err }, "refusing to start");
    else log.fatal({ err }, "could not start");
    if (refusal) process.stderr.write(`${err.message}\n`);
    await stop(refusal ? "refusing to start" : "could not start", refusal ? EXIT.refused : EXIT.failed);
  }
}
