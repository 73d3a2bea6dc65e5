import { Router } from "express";
import { z } from "zod";
import type { Catalog } from "./catalog.ts";
import { pageOf } from "./pages.ts";
import { invalidArgument, notFound, parse, permissionDenied } from "./rest-errors.ts";
import type { SampleData } from "./sample-data.ts";
import {
  checkOwner,
  owner,
  readScope,
  SUBSCRIBABLE,
  type Subscription,
  type Subscriptions,
  subscriptionResource,
} from "./subscriptions.ts";
import { checkScopes, needs, tokenIn } from "./tokens.ts";

/** There is no update, at Calendly as here. */
export function webhookRoutes(catalog: Catalog, subscriptions: Subscriptions, sampleData: SampleData): Router {
  const router = Router();
  const { all } = subscriptions;

  router.post("/webhook_subscriptions", needs("webhooks:write"), (req, res) => {
    const wanted: unknown[] = Array.isArray(req.body?.events) ? req.body.events : [];
    const known = wanted.map(String).filter((event) => SUBSCRIBABLE.includes(event));
    checkScopes(res, ["webhooks:write", ...new Set(known.map(readScope))]);
    const subscription = subscriptions.create(req.body ?? {}, tokenIn(res).user);
    res.status(201).json({ resource: subscriptionResource(subscription) });
  });

  router.get("/webhook_subscriptions", needs("webhooks:read"), (req, res) => {
    const filter = parse(owner, req.query);
    checkOwner(catalog, filter);
    if (filter.scope === "organization" && tokenIn(res).user.uri !== catalog.admin.uri) throw permissionDenied();
    const found = [...all.values()].filter(
      ({ scope, user, group }) =>
        scope === filter.scope &&
        (filter.user === undefined || user === filter.user) &&
        (filter.group === undefined || group === filter.group),
    );
    res.json(pageOf(req, found, subscriptionResource));
  });

  router.get("/webhook_subscriptions/:id", needs("webhooks:read"), (req, res) => {
    res.json({ resource: subscriptionResource(subscriptionOf(req.params["id"])) });
  });

  router.delete("/webhook_subscriptions/:id", needs("webhooks:write"), (req, res) => {
    subscriptions.remove(subscriptionOf(req.params["id"]));
    res.status(204).end();
  });

  router.get("/sample_webhook_data", needs("webhooks:read"), (req, res) => {
    const { event, ...filter } = parse(owner.extend({ event: z.string("is missing") }), req.query);
    checkOwner(catalog, filter);
    if (!SUBSCRIBABLE.includes(event)) throw invalidArgument([{ parameter: "event", message: "does not exist" }]);
    const sample = sampleData(event);
    if (sample === undefined) throw notFound();
    res.json({ event, created_at: sample.createdAt, created_by: tokenIn(res).user.uri, payload: sample.payload });
  });

  function subscriptionOf(id: string | string[] | undefined): Subscription {
    const subscription = all.get(String(id));
    if (subscription === undefined) throw notFound();
    return subscription;
  }

  return router;
}
