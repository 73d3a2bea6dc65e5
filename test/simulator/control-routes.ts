import { type NextFunction, type Request, type Response, Router } from "express";
import { z } from "zod";
import { tokenState } from "./access.ts";
import { AccountError, type Invitee, type ScheduledEvent } from "./account.ts";
import { faults } from "./faults.ts";
import { RestError } from "./rest-errors.ts";
import type { Simulator } from "./simulator.ts";
import { subscriptionResource } from "./subscriptions.ts";

const answers = z.array(z.strictObject({ question: z.string(), answer: z.string() })).optional();
const invitee = z.string();
const reason = z.string().nullish();

/** What can be asked of the simulator over HTTP, each with the shape of its body. */
export const CALLS = {
  "/book": z.strictObject({
    eventType: z.string(),
    start: z.string(),
    name: z.string(),
    email: z.string(),
    timezone: z.string().optional(),
    answers,
    tracking: z.record(z.string(), z.string().nullable()).optional(),
    routingFormSubmission: z.string().optional(),
  }),
  "/cancel": z.strictObject({ invitee, by: z.enum(["invitee", "host"]).optional(), reason }),
  "/reschedule": z.strictObject({ invitee, start: z.string(), reason }),
  "/cancel-event": z.strictObject({ event: z.string(), reason }),
  "/no-show": z.strictObject({ invitee }),
  "/no-show/clear": z.strictObject({ invitee }),
  "/routing-form": z.strictObject({ answers: answers.unwrap(), eventType: z.string() }),
  "/event-type": z.strictObject({ eventType: z.string(), active: z.boolean() }),
  "/subscribe": z.strictObject({ url: z.url(), signingKey: z.string().min(1) }),
  "/faults": z.strictObject(
    Object.fromEntries(Object.entries(faults.shape).map(([name, kind]) => [name, kind.unwrap().optional()])),
  ),
  "/tokens": z.strictObject({
    token: z.string().min(1),
    state: tokenState.optional(),
    scopes: z.array(z.string()).optional(),
  }),
  "/release": z.strictObject({}),
} as const;

type Call = keyof typeof CALLS;
type Input<C extends Call> = z.output<(typeof CALLS)[C]>;

export function controlRoutes(simulator: Simulator): Router {
  const { account } = simulator;
  const router = Router();

  const acts: { readonly [C in Call]: (input: Input<C>) => object } = {
    "/book": (input) => shown(account.book(present(input))),
    "/cancel": (input) => shown(account.cancel(input.invitee, input.by, input.reason ?? null)),
    "/reschedule": (input) => shown(account.reschedule(input.invitee, input.start, input.reason ?? null)),
    "/cancel-event": (input) => shownEvent(account.cancelEvent(input.event, input.reason ?? null)),
    "/no-show": (input) => shown(account.markNoShow(input.invitee)),
    "/no-show/clear": (input) => shown(account.clearNoShow(input.invitee)),
    "/routing-form": (input) => ({ uri: account.submitRoutingForm(input.answers, input.eventType) }),
    "/event-type": (input) => ({ uri: account.updateEventType(input.eventType, input).uri }),
    "/subscribe": (input) => subscriptionResource(simulator.subscribe(input.url, input.signingKey)),
    "/faults": (input) => Object.assign(simulator.faults, present(input)),
    "/tokens": ({ token, ...change }) => {
      simulator.access.setToken(token, present(change));
      return { state: change.state ?? "valid" };
    },
    "/release": () => {
      simulator.releaseHeld();
      return {};
    },
  };

  for (const [path, schema] of Object.entries(CALLS)) {
    router.post(path, (req, res) => {
      const input = schema.safeParse(req.body ?? {});
      if (!input.success)
        throw new AccountError(
          input.error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`).join("; "),
        );
      res.json((acts[path as Call] as (given: unknown) => object)(input.data));
    });
  }

  router.get("/", (_req, res) => {
    res.json({
      seed: simulator.seed,
      organization: account.catalog.organization,
      hosts: account.catalog.hosts.map(({ name, uri }) => ({ name, uri })),
      eventTypes: account.catalog.eventTypes.map(({ name, slug, kind, poolingType, uri }) => ({
        name,
        slug,
        kind,
        poolingType,
        uri,
      })),
      subscriptions: [...simulator.subscriptions.values()].map(subscriptionResource),
      invitees: account.invitees.size,
      attempts: simulator.attempts().length,
      faults: simulator.faults,
      calls: {
        GET: [
          "/_simulator",
          "/_simulator/attempts?after=<number>",
          "/_simulator/history",
          "/_simulator/settled?timeout_ms=<ms>",
        ],
        POST: Object.entries(CALLS).map(([path, { shape }]) => `/_simulator${path} {${Object.keys(shape).join(", ")}}`),
      },
    });
  });

  router.get("/attempts", (req, res) => {
    const after = Number(req.query["after"] ?? 0);
    res.json(simulator.attempts().filter(({ number }) => number > after));
  });

  router.get("/history", (_req, res) => {
    res.json(account.history());
  });

  router.get("/settled", async (req, res) => {
    const timeoutMs = Number(req.query["timeout_ms"] ?? 10_000);
    try {
      await simulator.settled({ timeoutMs });
      res.json({ settled: true });
    } catch (error) {
      res.status(409).json({ error: error instanceof Error ? error.message : String(error) });
    }
  });

  router.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
    if (!(error instanceof AccountError || error instanceof RestError || error instanceof SyntaxError))
      return next(error);
    res.status(400).json({ error: error instanceof RestError ? JSON.stringify(error.body) : error.message });
  });

  return router;
}

/** What a person at the other end needs to go on. */
export interface Booked {
  readonly invitee: string;
  readonly uri: string;
  readonly event: string;
  readonly start: string;
}

function shown({ id, uri, event }: Invitee): Booked {
  return { invitee: id, uri, event: event.id, start: event.start };
}

function shownEvent({ id, uri, status }: ScheduledEvent): object {
  return { event: id, uri, status };
}

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Drops the keys that were not given. */
function present<T extends object>(input: T): Present<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Present<T>;
}
