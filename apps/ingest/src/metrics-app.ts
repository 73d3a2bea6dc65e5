import { isSameSecret } from "@calendly-worker/core/calendly/secrets";
import { createGuessLimit } from "@calendly-worker/core/http-api/guess-limit";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import { answerError } from "./routes/webhook.ts";

/** The metrics, on a port of their own that the world does not reach, for whoever bears the token. */
export function createMetricsApp(ports: {
  readonly meter: Meter;
  readonly token: string | undefined;
  readonly log: Logger;
}): Express {
  const { meter, token, log } = ports;
  const guesses = createGuessLimit();
  const app = express();
  app.disable("x-powered-by");
  app.use(async (req, res, next) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(req.get("authorization") ?? "") ?? [];
    const from = req.socket.remoteAddress ?? "";
    if (given !== undefined && (await guesses.isReached(from))) {
      res.set("Retry-After", "60");
      return answerError(res, 429, "too_many_attempts", "Too many wrong tokens came from this address.");
    }
    if (given !== undefined && token !== undefined && isSameSecret(given, token)) return next();
    if (given !== undefined) await guesses.count(from);
    res.set("WWW-Authenticate", "Bearer");
    const expected = token === undefined ? "METRICS_TOKEN is not set." : "Expected a bearer token: METRICS_TOKEN.";
    answerError(res, 401, given === undefined ? "token_missing" : "token_unknown", expected);
  });
  app.get("/metrics", async (_req, res) => {
    const text = await meter.text();
    res.type(meter.contentType).send(text);
  });
  app.use((_req, res) => answerError(res, 404, "not_found", "There is nothing at this address but /metrics."));
  app.use((err: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    log.error({ err }, "could not tell the metrics");
    answerError(res, 503, "internal_error", "The metrics could not be read.");
  });
  return app;
}
