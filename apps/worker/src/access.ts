import { isSameSecret } from "@calendly-worker/core/calendly/secrets";
import type { ConsumerToken } from "@calendly-worker/core/config/consumer-tokens";
import { createGuessLimit } from "@calendly-worker/core/http-api/guess-limit";
import { ProblemError } from "@calendly-worker/core/http-api/problems";
import type { NextFunction, Request, Response } from "express";

/** Who asks, and what they may see. */
export interface Reader {
  readonly name: string;
  /** `all`; `read`: bookings and outcomes; `metrics`: nothing else. */
  readonly may: "all" | "read" | "metrics";
  /** URIs or ids; undefined for all. */
  readonly eventTypes?: readonly string[] | undefined;
}

export interface Access {
  /** Lets those pass who bear a token, and answers all others 401. */
  readonly guard: (req: Request, res: Response, next: NextFunction) => Promise<void>;
}

const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

/** The one door to everything on the internal face but liveness and readiness. */
export function createAccess(ports: {
  readonly ops: string | undefined;
  readonly metrics: string | undefined;
  readonly consumers: readonly ConsumerToken[];
  readonly onRefused: (reason: "missing" | "unknown" | "too_many") => void;
}): Access {
  const { ops, metrics, consumers, onRefused } = ports;
  const guesses = createGuessLimit();

  /** All are compared, so that the time says nothing of which ones there are. */
  function readerOf(given: string, user: string): Reader | undefined {
    const isOps = ops !== undefined && isSameSecret(given, ops);
    const isMetrics = metrics !== undefined && isSameSecret(given, metrics);
    const [consumer] = consumers.filter(({ token }) => isSameSecret(given, token));
    if (isOps) return { name: user, may: "all" };
    if (consumer !== undefined) return { name: consumer.name, may: "read", eventTypes: consumer.eventTypes };
    return isMetrics ? { name: "metrics", may: "metrics" } : undefined;
  }

  async function authenticate(req: Request): Promise<Reader> {
    const { scheme, secret, user } = readCredentials(req.get("authorization"));
    if (secret === undefined) {
      onRefused("missing");
      throw new ProblemError(
        "token_missing",
        "expected a header `Authorization: Bearer …` with OPS_API_TOKEN or one of CALENDLY_CONSUMER_TOKENS, or `Basic …` with it as the password",
      );
    }
    const from = req.socket.remoteAddress ?? "";
    if (await guesses.isReached(from)) {
      onRefused("too_many");
      throw new ProblemError("too_many_attempts", "try again in a minute, with a right token");
    }
    const reader = readerOf(secret, user);
    if (reader === undefined) {
      onRefused("unknown");
      await guesses.count(from);
      const isAnySet = ops !== undefined || metrics !== undefined || consumers.length > 0;
      const none = "no token is configured: set OPS_API_TOKEN, CALENDLY_CONSUMER_TOKENS or METRICS_TOKEN";
      throw new ProblemError("token_unknown", isAnySet ? "the token is none that is configured" : none);
    }
    // A browser adds a password that it knows by itself, whoever made the request; a bearer token it does not.
    if (scheme === "basic" && !SAFE_METHODS.includes(req.method) && !isSameOrigin(req)) {
      throw new ProblemError("cross_site", "expected a request of this site itself, or a bearer token");
    }
    return reader;
  }

  return {
    async guard(req, res, next) {
      readers.set(res, await authenticate(req));
      next();
    },
  };
}

/** Whom each answer is for, as the guard found. */
const readers = new WeakMap<Response, Reader>();

/** Who asked. Throws where nobody was let pass. */
export function readerFor(res: Response): Reader {
  const reader = readers.get(res);
  if (reader === undefined) throw new ProblemError("token_missing", "nobody has looked at the token");
  return reader;
}

/** Throws a ProblemError where who asks may not do that. */
export function permit(res: Response, needed: Reader["may"]): Reader {
  const reader = readerFor(res);
  const mayIt = reader.may === "all" || reader.may === needed;
  if (mayIt) return reader;
  const what = {
    all: "OPS_API_TOKEN",
    read: "OPS_API_TOKEN or one of CALENDLY_CONSUMER_TOKENS",
    metrics: "METRICS_TOKEN",
  };
  throw new ProblemError("not_allowed", `the token "${reader.name}" may not; this needs ${what[needed]}`);
}

/** The secret of an `Authorization` header, and the user name where it has one. */
function readCredentials(header = "") {
  const [, scheme = "", value] = /^(Bearer|Basic) +(\S+)$/i.exec(header) ?? [];
  if (scheme.toLowerCase() !== "basic" || value === undefined) {
    return { scheme: "bearer", secret: value, user: "ops" } as const;
  }
  const [, user = "", secret] = /^([^:]*):(.+)$/s.exec(Buffer.from(value, "base64").toString("utf8")) ?? [];
  return { scheme: "basic", secret, user: user.slice(0, 64) || "ops" } as const;
}

/** Whether a browser says that a page of this address made the request. */
function isSameOrigin(req: Request): boolean {
  const site = req.get("sec-fetch-site");
  if (site !== undefined) return site === "same-origin";
  const origin = req.get("origin");
  return origin !== undefined && URL.canParse(origin) && new URL(origin).host === req.get("host");
}
