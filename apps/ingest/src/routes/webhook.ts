import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import { Router } from "express";
import { answerError, answerJson, answerUnexpected } from "../answer.ts";
import { type Body, createBodyReader } from "../read-body.ts";
import { type Outcome, type Ports, receive } from "../receive.ts";

const MAX_BODY_BYTES = 1_048_576;
const RETRY_AFTER_SECONDS = 5;

const STATUS: Record<Outcome["kind"], number> = {
  accepted: 200,
  duplicate: 200,
  ignored: 200,
  out_of_scope: 200,
  quarantined: 200,
  deferred: 200,
  refused: 401,
  unavailable: 503,
};

const MESSAGES: Record<Extract<Outcome, { kind: "refused" }>["code"], string> = {
  signature_missing: "The header Calendly-Webhook-Signature is missing.",
  signature_malformed: "The header Calendly-Webhook-Signature does not read t=<unix seconds>,v1=<64 hex digits>.",
  signature_mismatch: "The signature fits none of the accepted keys and this body.",
  timestamp_outside_window: "The signature's time is outside the accepted window.",
};

const BODY_REFUSALS: Record<
  Exclude<Body["kind"], "read" | "given_up">,
  { readonly status: number; readonly message: string }
> = {
  too_large: { status: 413, message: `The body is larger than ${MAX_BODY_BYTES} bytes.` },
  incomplete: { status: 400, message: "The body is shorter or longer than announced." },
};

type DeliveryPorts = Ports & { readonly meter: Meter; readonly log: Logger };

/**
 * Takes what is POSTed to `path`; says whether it was that. It stands in front of Express, which takes as long for a
 * request as all that is done with a delivery.
 */
export function deliveryRoute(
  path: string,
  ports: DeliveryPorts,
): (req: IncomingMessage, res: ServerResponse) => boolean {
  const readBody = createBodyReader(MAX_BODY_BYTES);

  async function take(req: IncomingMessage, res: ServerResponse, query: string): Promise<void> {
    const { log, meter } = ports;
    const startedAt = performance.now();
    const body = await readBody(req);
    if (body.kind !== "read") {
      meter.count("unreadBodies", { reason: body.kind });
      log.info({ result: "refused", code: `body_${body.kind}` }, "delivery");
      if (body.kind === "given_up") return;
      const { status, message } = BODY_REFUSALS[body.kind];
      return answerError(res, status, `body_${body.kind}`, message);
    }
    const generation = generationIn(query);
    const signature = req.headers["calendly-webhook-signature"];
    const outcome = await receive(ports, {
      signature: typeof signature === "string" ? signature : undefined,
      body: body.bytes,
      ...(generation === undefined ? {} : { generation }),
    });
    const { kind: result, ...facts } = outcome;
    ports.onOutcome(result);
    measure(meter, outcome, performance.now() - startedAt);
    const level = outcome.kind === "unavailable" ? "warn" : "info";
    log[level]({ result, ...facts, generation, ms: Math.round(performance.now() - startedAt) }, "delivery");
    answer(res, outcome);
  }

  return (req, res) => {
    if (req.method !== "POST") return false;
    const [pathname, query] = targetOf(req.url);
    if (pathname !== path) return false;
    take(req, res, query).catch((err: unknown) => answerUnexpected(res, err, ports.log));
    return true;
  };
}

/** What else may be asked of the webhook's address. */
export function webhookRoute(path: string, isOpen: () => Promise<boolean>): Router {
  const router = Router({ strict: true, caseSensitive: true });

  router.get(path, async (_req, res) => {
    const open = await isOpen();
    res.status(open ? 200 : 503).json({ status: open ? "ready" : "not_ready" });
  });

  router.all(path, (_req, res) => {
    res.set("Allow", "GET, HEAD, POST");
    answerError(res, 405, "method_not_allowed", "Deliveries are POSTed; GET says whether they can be accepted.");
  });

  return router;
}

/** Path and query. What is sent to a proxy names a host before them. */
function targetOf(url = ""): [pathname: string, query: string] {
  if (!url.startsWith("/")) {
    const target = URL.parse(url);
    return [target?.pathname ?? "", target?.search.slice(1) ?? ""];
  }
  const at = url.indexOf("?");
  return at < 0 ? [url, ""] : [url.slice(0, at), url.slice(at + 1)];
}

function measure(meter: Meter, outcome: Outcome, ms: number): void {
  const { kind: result } = outcome;
  const event = "told" in outcome ? outcome.told : "unknown";
  const key = "signedWith" in outcome ? outcome.signedWith : "none";
  meter.count("deliveries", { event, result, key });
  meter.observe("acknowledgement", { result }, ms / 1_000);
  if (outcome.kind === "refused") meter.count("signatureFailures", { reason: outcome.code });
}

function answer(res: ServerResponse, outcome: Outcome): void {
  const status = STATUS[outcome.kind];
  switch (outcome.kind) {
    case "refused":
      answerError(res, status, outcome.code, MESSAGES[outcome.code]);
      break;
    case "unavailable":
      res.setHeader("Retry-After", RETRY_AFTER_SECONDS);
      answerError(res, status, "queue_unavailable", "The delivery could not be stored. Please try again.");
      break;
    default:
      answerJson(res, status, { status: outcome.kind, id: outcome.id });
  }
}

/** The key generation that the callback URL names with `?g=`, once; anything else than a short word is left out. */
function generationIn(query: string): string | undefined {
  const [g, ...more] = query === "" ? [] : new URLSearchParams(query).getAll("g");
  return g !== undefined && more.length === 0 && /^[A-Za-z0-9_-]{1,32}$/.test(g) ? g : undefined;
}
