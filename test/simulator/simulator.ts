import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import express from "express";
import { type Account, createAccount } from "./account.ts";
import { createCatalog } from "./catalog.ts";
import { createClock } from "./clock.ts";
import { controlRoutes } from "./control-routes.ts";
import { type Attempt, createDeliverer } from "./deliverer.ts";
import { type Faults, faultsChange, NO_FAULTS } from "./faults.ts";
import type { OutcomeSource } from "./page-routes.ts";
import { CALENDLY_TIMEOUTS, type PostTimeouts } from "./post.ts";
import { createRandom } from "./random.ts";
import { restRoutes } from "./rest.ts";
import { createSubscriptions, FAMILIES, hears, type Subscription } from "./subscriptions.ts";
import { createStamp } from "./timestamps.ts";
import { createTokens, type Token, type TokenChange } from "./tokens.ts";

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
  /** Requests a minute of the schedule, for each user. */
  readonly rateLimit?: number;
  /** What goes wrong from the start. */
  readonly faults?: Partial<Faults>;
  /** How long an answer to a delivery is waited for, in real time. */
  readonly timeouts?: PostTimeouts;
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
  /** What goes wrong; can be changed at any time. */
  readonly faults: Faults;
  /** Subscribes to all that happens, for the organization. */
  subscribe(url: string, signingKey: string): Subscription;
  /** Shows the outcomes of that worker on the page. */
  showOutcomesOf(source: OutcomeSource): void;
  outcomeSource(): OutcomeSource | undefined;
  /** Real time in ms. */
  now(): number;
  /** Changes some of the faults, and lets go what none of them holds back any more. */
  setFaults(change: { readonly [Name in keyof Faults]?: Faults[Name] | undefined }): Faults;
  /** Makes a token known, or changes its state, scopes or user. */
  setToken(token: string, change?: TokenChange): Token;
  /** Every try to deliver so far; those after that number where one is given. */
  attempts(after?: number): readonly Attempt[];
  /** Every request to the API so far, answered or not; those after that number where one is given. */
  requests(after?: number): readonly ApiRequest[];
  /** Lets go what reordering or swapping holds back. */
  releaseHeld(): void;
  /** Resolves when nothing is held back, on its way or waiting for a retry; rejects after 30 s, naming what is. */
  settled(options?: { readonly timeoutMs?: number }): Promise<void>;
  close(): Promise<void>;
}

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly token: string;
  /** Real time in ms at which it came. */
  readonly at: number;
  /** Undefined until it is answered. */
  status?: number;
}

export const DEMO_TOKEN = "demo-token-not-a-secret";
const SETTLED_TIMEOUT_MS = 30_000;
const NAMED_WHEN_NOT_SETTLED = 5;

/** Calendly in a box: its API, and its deliveries to whoever subscribes. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { seed = 1, speed = 1, rateLimit = 500, now = Date.now } = options;
  const { referenceBase: baseUrl = "https://api.calendly.com" } = options;
  const clock = createClock(speed);
  const stopping = new AbortController();
  const faults: Faults = { ...NO_FAULTS };
  const attempts: Attempt[] = [];
  const requests: ApiRequest[] = [];

  // Streams of randomness of their own, so that what is drawn for one thing does not change the ids of another.
  const random = createRandom(seed);
  const catalog = createCatalog(random, baseUrl);
  const subscriptions = createSubscriptions({ catalog, random: createRandom(seed + 1), baseUrl, now });
  const deliverer = createDeliverer({
    clock,
    random: createRandom(seed + 2),
    faults,
    timeouts: options.timeouts ?? CALENDLY_TIMEOUTS,
    now,
    onAttempt(attempt) {
      attempts.push(attempt);
      options.onAttempt?.(attempt);
    },
  });
  const account = createAccount({
    catalog,
    random,
    baseUrl,
    now,
    stamp: createStamp(now, createRandom(seed + 3)),
    tell(happening) {
      for (const subscription of subscriptions.all.values()) {
        if (hears(subscription, happening)) deliverer.deliver(happening, subscription);
      }
    },
  });
  const tokens = createTokens([catalog.admin, ...catalog.hosts]);
  tokens.set(options.token ?? DEMO_TOKEN);

  const app = express();
  const server = createServer(app);
  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo;

  let closed: Promise<void> | undefined;
  async function stop(): Promise<void> {
    clock.stop();
    stopping.abort();
    deliverer.stop();
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }

  let outcomeSource: OutcomeSource | undefined;
  const simulator: Simulator = {
    url: `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
    seed,
    account,
    subscriptions: subscriptions.all,
    faults,
    subscribe(url, signing_key) {
      const events = [...FAMILIES.invitee, ...FAMILIES.noShow, ...FAMILIES.routingForm, ...FAMILIES.eventType];
      const { organization, admin } = catalog;
      return subscriptions.create({ url, signing_key, organization, scope: "organization", events }, admin);
    },
    setFaults(change) {
      Object.assign(faults, faultsChange.parse(change));
      if (faults.reorder === 1 && !faults.swapNext) deliverer.releaseHeld();
      return faults;
    },
    showOutcomesOf(source) {
      outcomeSource = source;
    },
    outcomeSource: () => outcomeSource,
    now,
    setToken: tokens.set,
    attempts: (after = 0) => attempts.slice(after),
    requests: (after = 0) => requests.slice(after),
    releaseHeld: deliverer.releaseHeld,
    async settled({ timeoutMs = SETTLED_TIMEOUT_MS } = {}) {
      const end = performance.now() + timeoutMs;
      for (let left = deliverer.outstanding(); left.length > 0; left = deliverer.outstanding()) {
        if (performance.now() > end) {
          const named = left.slice(0, NAMED_WHEN_NOT_SETTLED).join("; ");
          const more = left.length - NAMED_WHEN_NOT_SETTLED;
          throw new Error(`not settled after ${timeoutMs} ms: ${named}${more > 0 ? `; and ${more} more` : ""}`);
        }
        await pause(10);
      }
    },
    close() {
      closed ??= stop();
      return closed;
    },
  };
  simulator.setFaults(options.faults ?? {});

  app.disable("x-powered-by");
  app.set("query parser", "simple");
  app.use("/_simulator", controlRoutes(simulator));
  app.use((req, res, next) => {
    const token = (req.get("authorization") ?? "").replace(/^Bearer /, "");
    const request: ApiRequest = { method: req.method, path: req.path, token, at: Date.now() };
    requests.push(request);
    res.on("finish", () => {
      request.status = res.statusCode;
    });
    next();
  });
  const stopSignal = stopping.signal;
  app.use(restRoutes({ account, subscriptions, tokens, faults, clock, rateLimit, baseUrl, now, stopping: stopSignal }));
  return simulator;
}
