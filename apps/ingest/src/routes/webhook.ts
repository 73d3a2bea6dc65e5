import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Meter } from "@calendly-worker/core/telemetry/meter";
import { type Response, Router } from "express";
import { type Body, readBody } from "../read-body.ts";
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

const BODY_REFUSALS: Record<Exclude<Body["kind"], "read">, { readonly status: number; readonly message: string }> = {
  too_large: { status: 413, message: `The body is larger than ${MAX_BODY_BYTES} bytes.` },
  incomplete: { status: 400, message: "The body is shorter or longer than announced." },
};

export function webhookRoute(
  path: string,
  ports: Ports & { readonly isOpen: () => Promise<boolean>; readonly meter: Meter; readonly log: Logger },
): Router {
  const { log, isOpen } = ports;
  const router = Router({ strict: true, caseSensitive: true });

  router.post(path, async (req, res) => {
    const startedAt = performance.now();
    const body = await readBody(req, MAX_BODY_BYTES);
    if (body.kind !== "read") {
      log.info({ result: "refused", code: `body_${body.kind}` }, "delivery");
      const { status, message } = BODY_REFUSALS[body.kind];
      return answerError(res, status, `body_${body.kind}`, message);
    }
    const generation = readGeneration(req.query["g"]);
    const outcome = await receive(ports, {
      signature: req.get("calendly-webhook-signature"),
      body: body.bytes,
      ...(generation === undefined ? {} : { generation }),
    });
    const { kind: result, ...facts } = outcome;
    ports.onOutcome(result);
    measure(ports.meter, outcome, performance.now() - startedAt);
    const level = outcome.kind === "unavailable" ? "warn" : "info";
    log[level]({ result, ...facts, generation, ms: Math.round(performance.now() - startedAt) }, "delivery");
    answer(res, outcome);
  });

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

function measure(meter: Meter, outcome: Outcome, ms: number): void {
  const { kind: result } = outcome;
  const event = "told" in outcome ? outcome.told : "unknown";
  const key = "signedWith" in outcome ? outcome.signedWith : "none";
  meter.count("deliveries", { event, result, key });
  meter.observe("acknowledgement", { result }, ms / 1_000);
  if (outcome.kind === "refused") meter.count("signatureFailures", { reason: outcome.code });
}

function answer(res: Response, outcome: Outcome): void {
  const status = STATUS[outcome.kind];
  switch (outcome.kind) {
    case "refused":
      answerError(res, status, outcome.code, MESSAGES[outcome.code]);
      break;
    case "unavailable":
      res.set("Retry-After", String(RETRY_AFTER_SECONDS));
      answerError(res, status, "queue_unavailable", "The delivery could not be stored. Please try again.");
      break;
    default:
      res.status(status).json({ status: outcome.kind, id: outcome.id });
  }
}

export function answerError(res: Response, status: number, code: string, message: string): void {
  res.status(status).json({ error: { code, message } });
}

/** The key generation that the callback URL names with `?g=`; anything else than a short word is left out. */
function readGeneration(g: unknown): string | undefined {
  return typeof g === "string" && /^[A-Za-z0-9_-]{1,32}$/.test(g) ? g : undefined;
}
