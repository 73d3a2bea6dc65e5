import type { Logger } from "@calendly-worker/core/telemetry/logger";
import { type NextFunction, type Request, type Response, Router, raw } from "express";
import { type Outcome, type Ports, receive } from "../receive.ts";

export const MAX_BODY_BYTES = 1_048_576;
const RETRY_AFTER_SECONDS = 5;

const STATUS: Record<Outcome["kind"], number> = {
  accepted: 200,
  duplicate: 200,
  ignored: 200,
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

/** What `express.raw` can refuse, by the error's `type`. */
const BODY_ERRORS: Readonly<
  Record<string, { readonly status: number; readonly code: string; readonly message: string }>
> = {
  "entity.too.large": {
    status: 413,
    code: "body_too_large",
    message: `The body is larger than ${MAX_BODY_BYTES} bytes.`,
  },
  "encoding.unsupported": {
    status: 415,
    code: "content_encoding_unsupported",
    message: "The signature is over the bytes as sent, so the body must not be compressed.",
  },
  "request.size.invalid": {
    status: 400,
    code: "body_incomplete",
    message: "The body is shorter or longer than announced.",
  },
  "request.aborted": { status: 400, code: "body_incomplete", message: "The request ended before its body did." },
};

export function webhookRoute(
  path: string,
  ports: Ports & { readonly isOpen: () => Promise<boolean>; readonly log: Logger },
): Router {
  const { log, isOpen } = ports;
  const router = Router({ strict: true, caseSensitive: true });

  // No body, and then the bytes exactly as they came: whatever the content type says, and never inflated.
  router.post(path, raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false }), async (req, res) => {
    const startedAt = performance.now();
    const generation = readGeneration(req.query["g"]);
    const outcome = await receive(ports, {
      signature: req.get("calendly-webhook-signature"),
      body: req.body instanceof Uint8Array ? req.body : new Uint8Array(),
      ...(generation === undefined ? {} : { generation }),
    });
    const { kind: result, cause: err, ...rest } = { cause: undefined, ...outcome };
    const level = err === undefined ? "info" : "warn";
    log[level]({ result, ...rest, generation, err, ms: Math.round(performance.now() - startedAt) }, "delivery");
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

  router.use((error: unknown, _req: Request, res: Response, next: NextFunction) => {
    const known = BODY_ERRORS[typeOf(error)];
    if (known === undefined) return next(error);
    log.info({ result: "refused", code: known.code }, "delivery");
    // The rest of the body is still on its way; nobody will read it.
    res.set("Connection", "close");
    answerError(res, known.status, known.code, known.message);
  });

  return router;
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

function typeOf(error: unknown): string {
  return error instanceof Error && "type" in error ? String(error.type) : "";
}
