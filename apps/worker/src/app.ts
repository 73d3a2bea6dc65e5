import { ProblemError } from "@calendly-worker/core/http-api/problems";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import express, { type Express, type Router } from "express";
import type { Access } from "./access.ts";
import { type HealthPorts, healthRoute, probeRoutes } from "./routes/health.ts";
import { metricsRoute } from "./routes/metrics.ts";
import { answerProblem } from "./serve.ts";

/** The internal face. */
export function createApp(
  ports: HealthPorts & {
    readonly access: Access;
    readonly meter: Meter;
    /** Undefined until Redis has been reached. */
    readonly services: () => Router | undefined;
    readonly log: Logger;
  },
): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use(probeRoutes(ports));
  app.use(ports.access.guard);
  app.use(healthRoute(ports), metricsRoute(ports.meter));
  app.use((req, res, next) => {
    const services = ports.services();
    if (services !== undefined) return services(req, res, next);
    throw new ProblemError("redis_unavailable", "Redis has not been reached yet; try again in a moment");
  });
  app.use((req) => {
    throw new ProblemError("not_found", `expected an address that GET /api/docs shows, got ${req.method} ${req.path}`);
  });
  app.use(answerProblem(ports.log));
  return app;
}
