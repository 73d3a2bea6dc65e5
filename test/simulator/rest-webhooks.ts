import { Router } from "express";
import { z } from "zod";
import { checkScopes, needs } from "./access.ts";
import type { Account } from "./account.ts";
import { pageOf } from "./pages.ts";
import type { Random } from "./random.ts";
import { invalidArgument, notFound, parse, RestError } from "./rest-errors.ts";
import { readScope, SUBSCRIBABLE, type Subscription, subscriptionResource } from "./subscriptions.ts";

const owner = {
  organization: z.string("is missing"),
  scope: z.enum(["organization", "user", "group"], "is missing or invalid"),
  user: z.string().optional(),
  group: z.string().optional(),
};
const events = z
  .array(z.string())
  .min(1)
  .refine((names) => names.every((name) => SUBSCRIBABLE.includes(name)), "contains an event that does not exist");

export const newSubscription = z.object({
  ...owner,
  url: z.url({ protocol: /^https?$/, error: "is not a URL" }),
  events,
  signing_key: z.string().min(1).optional(),
});

export interface Subscriptions {
  readonly all: Map<string, Subscription>;
  /** Throws Calendly's 400 or 409. */
  create(input: unknown): Subscription;
}

export function createSubscriptions(ports: {
  account: Account;
  random: Random;
  baseUrl: string;
  now: () => number;
}): Subscriptions {
  const { account, random, baseUrl, now } = ports;
  const all = new Map<string, Subscription>();
  return {
    all,
    create(input) {
      const wanted = parse(newSubscription, input);
      checkOwner(account, wanted);
      const onlyForOrganization = wanted.events.some((event) => event.startsWith("routing_form"));
      const onlyForUser = wanted.events.some((event) => event.startsWith("meeting_recap"));
      if ((onlyForOrganization && wanted.scope !== "organization") || (onlyForUser && wanted.scope !== "user")) {
        throw invalidArgument([
          { parameter: "events", message: `contains an event that the scope ${wanted.scope} does not have` },
        ]);
      }
      // Only the very same text is the same hook: another query string makes another one.
      if ([...all.values()].some(({ url }) => url === wanted.url)) {
        throw new RestError(409, "Already Exists", "Hook with this url already exists");
      }
      const id = random.uuid();
      const createdAt = new Date(now()).toISOString().replace("Z", "000Z");
      const subscription: Subscription = {
        id,
        uri: `${baseUrl}/webhook_subscriptions/${id}`,
        url: wanted.url,
        events: wanted.events,
        scope: wanted.scope,
        organization: wanted.organization,
        user: wanted.user ?? null,
        group: wanted.group ?? null,
        creator: account.catalog.admin.uri,
        createdAt,
        updatedAt: createdAt,
        signingKey: wanted.signing_key ?? random.uuid(),
        state: "active",
        retryStartedAt: null,
      };
      all.set(id, subscription);
      return subscription;
    },
  };
}

/** There is no update, at Calendly as here. */
export function webhookRoutes(account: Account, subscriptions: Subscriptions): Router {
  const router = Router();
  const { all } = subscriptions;

  router.post("/webhook_subscriptions", needs("webhooks:write"), (req, res) => {
    const wanted = Array.isArray(req.body?.events) ? (req.body.events as unknown[]) : [];
    checkScopes(res, [
      ...new Set(
        wanted.filter((event) => SUBSCRIBABLE.includes(String(event))).map((event) => readScope(String(event))),
      ),
    ]);
    res.status(201).json({ resource: subscriptionResource(subscriptions.create(req.body)) });
  });

  router.get("/webhook_subscriptions", needs("webhooks:read"), (req, res) => {
    const filter = parse(z.object(owner), req.query);
    checkOwner(account, filter);
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
    const subscription = subscriptionOf(req.params["id"]);
    // Whatever waits for a retry is not sent any more.
    subscription.state = "disabled";
    all.delete(subscription.id);
    res.status(204).end();
  });

  router.get("/sample_webhook_data", needs("webhooks:read"), (req, res) => {
    const { event, ...filter } = parse(z.object({ ...owner, event: z.string() }), req.query);
    checkOwner(account, filter);
    if (!SUBSCRIBABLE.includes(event)) throw invalidArgument([{ parameter: "event", message: "does not exist" }]);
    const last = account.history().findLast((happening) => happening.event === event);
    if (last === undefined) throw notFound();
    res.json({ event, created_at: last.createdAt, created_by: account.catalog.admin.uri, payload: last.payload });
  });

  function subscriptionOf(id: string | string[] | undefined): Subscription {
    const subscription = all.get(String(id));
    if (subscription === undefined) throw notFound();
    return subscription;
  }

  return router;
}

function checkOwner(
  { catalog }: Account,
  { organization, scope, user, group }: z.output<z.ZodObject<typeof owner>>,
): void {
  const users = [catalog.admin, ...catalog.hosts].map(({ uri }) => uri);
  if (organization !== catalog.organization)
    throw invalidArgument([{ parameter: "organization", message: "is not yours" }]);
  if (scope === "user" && !users.includes(user ?? ""))
    throw invalidArgument([{ parameter: "user", message: "is missing or unknown" }]);
  if (scope === "group" && group === undefined) throw invalidArgument([{ parameter: "group", message: "is missing" }]);
}
