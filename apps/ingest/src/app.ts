import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import type { Ports } from "./receive.ts";
import { healthRoutes } from "./routes/health.ts";
import { answerError, webhookRoute } from "./routes/webhook.ts";

/** The public face: the webhook route, health, and nothing else. */
export function createApp(
  ports: Ports & {
    readonly webhookPath: string;
    /** Whether a delivery would be taken now. */
    readonly isReady: () => Promise<boolean>;
    /** Whether a token or a signing key needs somebody. */
    readonly isAdvised: () => Promise<boolean>;
    readonly meter: Meter;
    readonly log: Logger;
  },
): Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", "simple");

  app.use(webhookRoute(ports.webhookPath, { ...ports, isOpen: ports.isReady }));
  app.use(healthRoutes(ports));

  app.use((_req, res) => {
    answerError(res, 404, "not_found", "There is nothing at this address.");
  });
  app.use((err: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    if (isBadRequest(err)) {
      answerError(res, 400, "bad_request", "The request could not be understood.");
      return;
    }
    ports.log.error({ err }, "unexpected error while answering");
    answerError(res, 503, "internal_error", "Something went wrong on this side. Please try again.");
  });
  return app;
}

/** Express marks what the sender did wrong, such as a path that cannot be decoded, with a status below 500. */
function isBadRequest(error: unknown): boolean {
  return error instanceof Error && "status" in error && Number(error.status) < 500;
}
