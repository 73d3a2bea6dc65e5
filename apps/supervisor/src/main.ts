import { fileURLToPath } from "node:url";
import { readEnvironment } from "@calendly-worker/core/config/environment";
import { loadConfig } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { requireNode } from "@calendly-worker/core/lifecycle/node-version";
import { EXIT } from "@calendly-worker/core/lifecycle/run-app";
import { createLogger } from "@calendly-worker/core/telemetry/logger";
import { type Restarts, supervise } from "./supervise.ts";

const RESTARTS: Restarts = { firstDelayMs: 500, longestDelayMs: 30_000, soundAfterMs: 60_000, mostInARow: 6 };
/** Beyond the deadline that the apps hold themselves to. */
const GRACE_MS = 10_000;

const config = loadBoth();
const log = createLogger({ app: "supervisor", level: config.LOG_LEVEL, format: config.LOG_FORMAT });
const stopDeadlineMs = (config.SHUTDOWN_DELAY + config.SHUTDOWN_DEADLINE) * 1_000 + GRACE_MS;
/** Does nothing unless tracing is switched on. */
const TRACING = import.meta.resolve("@calendly-worker/core/telemetry/start-tracing");
const programs = ["ingest", "worker"].map((name) => ({
  name,
  args: [
    "--enable-source-maps",
    "--import",
    TRACING,
    fileURLToPath(import.meta.resolve(`@calendly-worker/${name}/main`)),
  ],
}));

const supervisor = supervise(programs, RESTARTS, stopDeadlineMs, log);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => supervisor.stop(signal, stopDeadlineMs));
}
process.exit((await supervisor.ended) ? EXIT.clean : EXIT.failed);

/** Before anything is started, so that what is missing for either app is said once and in one message. */
function loadBoth() {
  try {
    requireNode();
    return loadConfig(["ingest", "worker"], readEnvironment());
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(EXIT.failed);
  }
}
