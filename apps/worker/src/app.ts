import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Metrics } from "@calendly-worker/core/telemetry/metrics";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import { healthRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";

/** The internal face. */
export function createApp(
  ports: Parameters<typeof healthRoutes>[0] & {
    /** Undefined until Redis has been reached. */
    readonly metrics: () => Metrics | undefined;
    readonly log: Logger;
  },
): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use(healthRoutes(ports), metricsRoute(ports.metrics));
  app.use((_req, res) => {
    res.status(404).json({ error: { code: "not_found", message: "There is nothing at this address." } });
  });
  app.use((err: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    ports.log.error({ err }, "unexpected error while answering");
    res.status(500).json({ error: { code: "internal_error", message: "Something went wrong on this side." } });
  });
  return app;
}
