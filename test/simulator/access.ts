import type { NextFunction, Request, Response } from "express";
import { z } from "zod";
import { type Clock, MINUTE } from "./clock.ts";
import { RestError } from "./rest-errors.ts";

export const tokenState = z.enum(["valid", "expired", "revoked", "invalid"]);
export type TokenState = z.output<typeof tokenState>;

export const ALL_SCOPES = [
  "users:read",
  "scheduled_events:read",
  "scheduled_events:write",
  "event_types:read",
  "availability:read",
  "routing_forms:read",
  "contacts:read",
  "webhooks:read",
  "webhooks:write",
];

export interface Token {
  state: TokenState;
  scopes: readonly string[];
}

/** Who may call the API, and how often. All tokens are one user's and share one budget, as at Calendly. */
export function createAccess(ports: { readonly clock: Clock; readonly limit: number; readonly windowMs?: number }) {
  const { clock, limit, windowMs = MINUTE } = ports;
  const tokens = new Map<string, Token>();
  let windowEndsAt = 0;
  let used = 0;

  /** Counts the request, sets the headers that tell the budget, and checks the token. */
  function admit(req: Request, res: Response, next: NextFunction): void {
    if (clock.now() >= windowEndsAt) {
      windowEndsAt = clock.now() + windowMs;
      used = 0;
    }
    used += 1;
    res.set("X-RateLimit-Limit", String(limit));
    res.set("X-RateLimit-Remaining", String(Math.max(0, limit - used)));
    res.set("X-RateLimit-Reset", String(Math.ceil((windowEndsAt - clock.now()) / 1_000)));
    if (used > limit) throw new RestError(429, "Too Many Requests", "You have exceeded the rate limit.");

    const [, given = ""] = /^Bearer (.+)$/.exec(req.get("authorization") ?? "") ?? [];
    const token = tokens.get(given);
    switch (token?.state) {
      case "valid":
        res.locals["scopes"] = token.scopes;
        next();
        break;
      case "expired":
        throw new RestError(401, "Unauthenticated", "The access token expired");
      case "revoked":
        throw new RestError(401, "Unauthenticated", "The access token was revoked");
      default:
        throw new RestError(401, "Unauthenticated", "The access token is invalid");
    }
  }

  return {
    admit,
    /** Makes a token known, or changes what it is. */
    setToken(token: string, change: Partial<Token>): void {
      tokens.set(token, { state: "valid", scopes: ALL_SCOPES, ...tokens.get(token), ...change });
    },
  };
}

/** A handler that answers 403 unless the token has these scopes. A write scope includes its read scope. */
export function needs(...scopes: string[]) {
  return (_req: Request, res: Response, next: NextFunction): void => {
    checkScopes(res, scopes);
    next();
  };
}

export function checkScopes(res: Response, needed: readonly string[]): void {
  const scopes = res.locals["scopes"] as readonly string[];
  const missing = needed.filter(
    (scope) => !scopes.includes(scope) && !scopes.includes(scope.replace(":read", ":write")),
  );
  if (missing.length === 0) return;
  const message = "This operation requires the scopes listed in the 'required_scopes' array.";
  throw new RestError(403, "Insufficient scope", message, { required_scopes: missing });
}
