import { isSameSecret } from "@calendly-worker/core/calendly/secrets";
import { createGuessLimit } from "@calendly-worker/core/http-api/guess-limit";
import { PROBLEMS, ProblemError, problemOf } from "@calendly-worker/core/http-api/problems";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import express, { type Express, type NextFunction, type Request, type Response } from "express";

/** The metrics, on a port of their own that the world does not reach, for whoever bears the token. */
export function createMetricsApp(ports: {
  readonly meter: Meter;
  readonly token: string | undefined;
  readonly log: Logger;
}): Express {
  const { meter, token, log } = ports;
  const guesses = createGuessLimit();

  async function guard(req: Request, _res: Response, next: NextFunction): Promise<void> {
    const [, given] = /^Bearer +(\S+)$/i.exec(req.get("authorization") ?? "") ?? [];
    if (given === undefined) throw new ProblemError("token_missing", "expected a bearer token: METRICS_TOKEN");
    const from = req.socket.remoteAddress ?? "";
    if (await guesses.isReached(from)) {
      throw new ProblemError("too_many_attempts", "try again in a minute, with a right token");
    }
    if (token !== undefined && isSameSecret(given, token)) return next();
    await guesses.count(from);
    const isSet = token !== undefined;
    throw new ProblemError("token_unknown", isSet ? "the token is not METRICS_TOKEN" : "METRICS_TOKEN is not set");
  }

  const app = express();
  app.disable("x-powered-by");
  app.use(guard);
  app.get("/metrics", async (_req, res) => {
    const text = await meter.text();
    res.type(meter.contentType).send(text);
  });
  app.use(() => {
    throw new ProblemError("not_found", "expected /metrics");
  });
  app.use((err: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    const found = err instanceof ProblemError ? err : new ProblemError("internal_error", "the log says what");
    if (found !== err) log.error({ err }, "could not tell the metrics");
    const { status } = PROBLEMS[found.code];
    if (status === 401) res.set("WWW-Authenticate", "Bearer");
    if (status === 429) res.set("Retry-After", "60");
    res
      .status(status)
      .type("application/problem+json")
      .send(JSON.stringify(problemOf(found)));
  });
  return app;
}
