import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import express, { type NextFunction, type Request, type Response } from "express";
import { createAccess } from "./access.ts";
import { type Account, createAccount } from "./account.ts";
import { createClock } from "./clock.ts";
import { controlRoutes } from "./control-routes.ts";
import { type Attempt, createDeliverer } from "./deliverer.ts";
import { type Faults, NO_FAULTS } from "./faults.ts";
import { createRandom } from "./random.ts";
import { accountRoutes } from "./rest-account.ts";
import { answerRestError, notFound } from "./rest-errors.ts";
import { createSubscriptions, webhookRoutes } from "./rest-webhooks.ts";
import { FAMILIES, hears, type Subscription } from "./subscriptions.ts";

export interface SimulatorOptions {
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port?: number;
  /** Makes a run repeatable: ids and every random choice follow from it. */
  readonly seed?: number;
  /** How fast the simulator's own schedule runs: 1 is real time, 1440 a day in a minute. */
  readonly speed?: number;
  /** A token that is valid from the start. */
  readonly token?: string;
  /** Requests a window. */
  readonly rateLimit?: number;
  /** Begins every reference. Calendly's own unless told otherwise, so that ids depend on the seed alone. */
  readonly referenceBase?: string;
  /** Real time in ms, for dates and signatures. */
  readonly now?: () => number;
  readonly onAttempt?: (attempt: Attempt) => void;
}

export interface Simulator {
  /** Where it listens: the base address of the API. */
  readonly url: string;
  readonly seed: number;
  /** What one can do at Calendly; each act is told to those who subscribed. */
  readonly account: Account;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  /** What goes wrong; change it at any time. */
  readonly faults: Faults;
  readonly access: ReturnType<typeof createAccess>;
  /** Subscribes to all that happens, for the organization. */
  subscribe(url: string, signingKey: string): Subscription;
  /** Every try to deliver so far. */
  attempts(): readonly Attempt[];
  /** Lets go what reordering or swapping holds back. */
  releaseHeld(): void;
  /** Resolves when nothing is held back, on its way or waiting for a retry. */
  settled(options?: { readonly timeoutMs?: number }): Promise<void>;
  close(): Promise<void>;
}

export const DEMO_TOKEN = "demo-token-not-a-secret";
const SETTLED_TIMEOUT_MS = 10_000;

/** Calendly in a box: its API, and its deliveries to whoever subscribes. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { seed = 1, speed = 1, now = Date.now, referenceBase: baseUrl = "https://api.calendly.com" } = options;
  const clock = createClock(speed);
  const faults: Faults = { ...NO_FAULTS };
  const attempts: Attempt[] = [];
  const account = createAccount({
    random: createRandom(seed),
    baseUrl,
    now,
    tell(happening) {
      for (const subscription of subscriptions.all.values()) {
        if (hears(subscription, happening)) deliverer.deliver(happening, subscription);
      }
    },
  });
  // Streams of randomness of their own, so that what is drawn for deliveries does not change the ids that follow.
  const subscriptions = createSubscriptions({ account, random: createRandom(seed + 1), baseUrl, now });
  const deliverer = createDeliverer({
    clock,
    random: createRandom(seed + 2),
    faults,
    createdBy: account.catalog.admin.uri,
    now,
    onAttempt(attempt) {
      attempts.push(attempt);
      options.onAttempt?.(attempt);
    },
  });
  const access = createAccess({ clock, limit: options.rateLimit ?? 500 });
  access.setToken(options.token ?? DEMO_TOKEN, {});

  const app = express();
  const server = createServer(app);
  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo;

  const simulator: Simulator = {
    url: `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
    seed,
    account,
    subscriptions: subscriptions.all,
    faults,
    access,
    subscribe: (url, signing_key) =>
      subscriptions.create({
        url,
        signing_key,
        organization: account.catalog.organization,
        scope: "organization",
        events: [...FAMILIES.invitee, ...FAMILIES.noShow, ...FAMILIES.routingForm, ...FAMILIES.eventType],
      }),
    attempts: () => attempts,
    releaseHeld: deliverer.releaseHeld,
    async settled({ timeoutMs = SETTLED_TIMEOUT_MS } = {}) {
      const end = performance.now() + timeoutMs;
      for (let left = deliverer.outstanding(); left.length > 0; left = deliverer.outstanding()) {
        if (performance.now() > end)
          throw new Error(`not settled after ${timeoutMs} ms: ${left.slice(0, 5).join("; ")}`);
        await pause(10);
      }
    },
    async close() {
      clock.stop();
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };

  app.disable("x-powered-by");
  app.set("query parser", "simple");
  app.use(express.json());
  app.use("/_simulator", controlRoutes(simulator));
  app.use(async (_req: Request, res: Response, next: NextFunction) => {
    if (faults.apiLatencyMs > 0) await pause(faults.apiLatencyMs);
    if (faults.api === "down")
      res.status(503).json({ title: "Internal Server Error", message: "The server is not available." });
    else if (faults.api === "garbage") res.status(200).type("json").send('{"resource": {"uri": ');
    else next();
  });
  app.use(access.admit, accountRoutes(account), webhookRoutes(account, subscriptions));
  app.use(() => {
    throw notFound();
  });
  app.use(answerRestError);
  return simulator;
}
