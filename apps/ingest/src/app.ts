import type { RequestListener } from "node:http";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import express, { type NextFunction, type Request, type Response } from "express";
import { answerError, answerUnexpected } from "./answer.ts";
import type { Ports } from "./receive.ts";
import { healthRoutes } from "./routes/health.ts";
import { deliveryRoute, webhookRoute } from "./routes/webhook.ts";

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
): RequestListener {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");

  app.use(webhookRoute(ports.webhookPath, ports.isReady));
  app.use(healthRoutes(ports));

  app.use((_req, res) => {
    answerError(res, 404, "not_found", "There is nothing at this address.");
  });
  app.use((err: unknown, _req: Request, res: Response, _next: NextFunction) => {
    if (isBadRequest(err) && !res.headersSent)
      answerError(res, 400, "bad_request", "The request could not be understood.");
    else answerUnexpected(res, err, ports.log);
  });
  const takesDelivery = deliveryRoute(ports.webhookPath, ports);
  return (req, res) => {
    if (!takesDelivery(req, res)) app(req, res);
  };
}

/** Express marks what the sender did wrong, such as a path that cannot be decoded, with a status below 500. */
function isBadRequest(error: unknown): boolean {
  return error instanceof Error && "status" in error && Number(error.status) < 500;
}
