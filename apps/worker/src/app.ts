import { ProblemError } from "@calendly-worker/core/http-api/problems";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Metrics } from "@calendly-worker/core/telemetry/metrics";
import express, { type Express, type Router } from "express";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { answerProblem } from "./serve.ts";

/** The internal face. */
export function createApp(
  ports: Parameters<typeof healthRoutes>[0] & {
    /** Undefined until Redis has been reached. */
    readonly metrics: () => Metrics | undefined;
    readonly api: () => Router | undefined;
    readonly log: Logger;
  },
): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use(healthRoutes(ports), metricsRoute(ports.metrics));
  app.use((req, res, next) => {
    const api = ports.api();
    if (api !== undefined) return api(req, res, next);
    if (!req.path.startsWith("/api/")) return next();
    throw new ProblemError("redis_unavailable", "Redis has not been reached yet; try again in a moment");
  });
  app.use((req) => {
    throw new ProblemError("not_found", `expected an address that GET /api/docs shows, got ${req.method} ${req.path}`);
  });
  app.use(answerProblem(ports.log));
  return app;
}
