import { setTimeout as pause } from "node:timers/promises";
import express, { type NextFunction, type Request, type Response, Router } from "express";
import type { Account } from "./account.ts";
import type { Clock } from "./clock.ts";
import type { Faults } from "./faults.ts";
import { limitRate } from "./rate-limit.ts";
import { accountRoutes } from "./rest-account.ts";
import { availabilityRoutes } from "./rest-availability.ts";
import { answerRestError, notFound } from "./rest-errors.ts";
import { webhookRoutes } from "./rest-webhooks.ts";
import { createSampleData } from "./sample-data.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { authenticate, type Tokens } from "./tokens.ts";

/** Calendly's API. The budget is counted first of all, so that every answer tells it. */
export function restRoutes(ports: {
  readonly account: Account;
  readonly subscriptions: Subscriptions;
  readonly tokens: Tokens;
  readonly faults: Faults;
  readonly clock: Clock;
  readonly rateLimit: number;
  readonly baseUrl: string;
  readonly now: () => number;
  readonly stopping: AbortSignal;
}): Router {
  const { account, subscriptions, tokens, faults, clock, rateLimit, baseUrl, now, stopping } = ports;
  const sampleData = createSampleData({ catalog: account.catalog, baseUrl, now });
  const router = Router();

  router.use(limitRate({ clock, tokens, limit: rateLimit }));
  router.use(async (_req: Request, res: Response, next: NextFunction) => {
    if (faults.apiClockSkewMs !== 0) res.set("Date", new Date(Date.now() + faults.apiClockSkewMs).toUTCString());
    if (faults.apiLatencyMs > 0) await pause(faults.apiLatencyMs, undefined, { signal: stopping }).catch(() => {});
    if (faults.api === "down")
      res.status(503).json({ title: "Internal Server Error", message: "The server is not available." });
    else if (faults.api === "garbage") res.status(200).type("json").send('{"resource": {"uri": ');
    else next();
  });
  router.use(authenticate(tokens), express.json());
  router.use(accountRoutes(account, faults), availabilityRoutes(account, now));
  router.use(webhookRoutes(account.catalog, subscriptions, sampleData));
  router.use(() => {
    throw notFound();
  });
  router.use(answerRestError);
  return router;
}
