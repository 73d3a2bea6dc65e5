import express, { type NextFunction, type Request, type Response, Router } from "express";
import { z } from "zod";
import { AccountError } from "./account-error.ts";
import { CALLS, type Call, createActs } from "./control-calls.ts";
import { NO_FAULTS } from "./faults.ts";
import { pageRoutes } from "./page-routes.ts";
import { RestError } from "./rest-errors.ts";
import type { Simulator } from "./simulator.ts";
import { subscriptionResource } from "./subscriptions.ts";

const LOOKS = [
  "/_simulator",
  "/_simulator/page",
  "/_simulator/slots?eventType=<slug>",
  "/_simulator/invitees",
  "/_simulator/outcomes?after=<cursor>",
  "/_simulator/attempts?after=<number>",
  "/_simulator/history",
  "/_simulator/settled?timeout_ms=<ms>",
];
const whole = z.coerce.number().int().min(0);

/** Acting on the simulator and looking into it over HTTP: no part of Calendly's API, and without a token. */
export function controlRoutes(simulator: Simulator): Router {
  const { account } = simulator;
  const acts = createActs(simulator);
  const router = Router();
  // Whatever type is said: curl says another one when it is only given data.
  router.use(express.json({ type: () => true }));

  for (const path of Object.keys(CALLS) as Call[]) {
    const act = acts[path] as (input: unknown) => unknown;
    router.post(path, (req, res) => {
      res.json(act(read(CALLS[path], req.body ?? {})));
    });
  }

  // A browser gets the page, all else what there is.
  router.get("/", (req, res) => {
    if (req.accepts(["json", "html"]) === "html") res.redirect("/_simulator/page");
    else res.json(stateOf(simulator));
  });
  router.use(pageRoutes({ account, outcomes: simulator.outcomeSource, now: simulator.now }));

  router.get("/attempts", (req, res) => {
    const { after } = read(z.object({ after: whole.default(0) }), req.query);
    res.json(simulator.attempts(after));
  });

  router.get("/history", (_req, res) => {
    res.json(account.history());
  });

  router.get("/settled", async (req, res) => {
    const { timeout_ms: timeoutMs } = read(z.object({ timeout_ms: whole.default(10_000) }), req.query);
    try {
      await simulator.settled({ timeoutMs });
      res.json({ settled: true });
    } catch (error) {
      res.status(409).json({ error: error instanceof Error ? error.message : String(error) });
    }
  });

  router.use((req: Request, res: Response) => {
    res.status(404).json({ error: `there is no ${req.method} ${req.originalUrl}`, calls: calls() });
  });

  router.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (error instanceof SyntaxError) res.status(400).json({ error: `expected JSON: ${error.message}` });
    else if (error instanceof RestError) res.status(400).json({ error: JSON.stringify(error.body) });
    else if (error instanceof AccountError) res.status(400).json({ error: error.message });
    else next(error);
  });

  return router;
}

/** Whose values are never repeated in an answer. */
const SECRETS: readonly unknown[] = ["signingKey", "token"];

function read<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input, { reportInput: true });
  if (result.success) return result.data;
  const sentences = result.error.issues.map(({ path, message, input: got }) => {
    const came = path.length === 0 || SECRETS.includes(path[0]) ? "" : `, got ${JSON.stringify(got) ?? "nothing"}`;
    return `${path.join(".") || "body"}: ${message}${came}`;
  });
  throw new AccountError(sentences.join("; "));
}

function calls() {
  return {
    GET: LOOKS,
    POST: Object.entries(CALLS).map(([path, { shape }]) => `/_simulator${path} {${Object.keys(shape).join(", ")}}`),
  };
}

export type SimulatorState = ReturnType<typeof stateOf>;

/** What there is, for a person to read. */
function stateOf(simulator: Simulator) {
  const { account, seed, faults } = simulator;
  const { catalog } = account;
  return {
    seed,
    organization: catalog.organization,
    hosts: catalog.hosts.map(({ name, slug, uri }) => ({ name, slug, uri })),
    eventTypes: catalog.eventTypes.map(({ name, slug, kind, poolingType, active, uri }) => ({
      name,
      slug,
      kind,
      poolingType,
      active,
      uri,
    })),
    subscriptions: [...simulator.subscriptions.values()].map(subscriptionResource),
    invitees: account.invitees.size,
    happenings: account.history().length,
    attempts: simulator.attempts().length,
    faults,
    faultsWhenWell: NO_FAULTS,
    calls: calls(),
  };
}
