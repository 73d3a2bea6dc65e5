import type { NextFunction, Request, Response } from "express";
import { z } from "zod";
import { AccountError } from "./account-error.ts";
import type { Host } from "./catalog.ts";
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
  readonly state: TokenState;
  readonly scopes: readonly string[];
  readonly user: Host;
}

export interface TokenChange {
  readonly state?: TokenState;
  readonly scopes?: readonly string[];
  /** Slug, name or URI. Whoever made it; the admin unless told otherwise. */
  readonly user?: string;
}

export type Tokens = ReturnType<typeof createTokens>;

/** The access tokens of an organization's users. The first user is the one whom a token belongs to by default. */
export function createTokens(users: readonly [Host, ...Host[]]) {
  const tokens = new Map<string, Token>();
  return {
    find: (token: string): Token | undefined => tokens.get(token),

    /** Makes a token known, or changes what it is. */
    set(token: string, { state, scopes, user }: TokenChange = {}): Token {
      const before = tokens.get(token) ?? { state: "valid", scopes: ALL_SCOPES, user: users[0] };
      const changed = {
        state: state ?? before.state,
        scopes: scopes ?? before.scopes,
        user: user === undefined ? before.user : userOf(user),
      };
      tokens.set(token, changed);
      return changed;
    },
  };

  function userOf(wanted: string): Host {
    const user = users.find(({ slug, name, uri }) => [slug, name, uri].includes(wanted));
    if (user !== undefined) return user;
    throw new AccountError(`there is no user "${wanted}"; there are ${users.map(({ slug }) => slug).join(", ")}`);
  }
}

const REFUSALS: Readonly<Record<Exclude<TokenState, "valid">, string>> = {
  invalid: "The access token is invalid",
  expired: "The access token expired",
  revoked: "The access token was revoked",
};

export function tokenOf(tokens: Tokens, req: Request): Token | undefined {
  const [, given = ""] = /^Bearer (.+)$/.exec(req.get("authorization") ?? "") ?? [];
  return tokens.find(given);
}

/** Lets only valid tokens pass; those after it find the token by `tokenIn`. */
export function authenticate(tokens: Tokens) {
  return (req: Request, res: Response, next: NextFunction): void => {
    const token = tokenOf(tokens, req);
    const state = token?.state ?? "invalid";
    if (state !== "valid") throw new RestError(401, "Unauthenticated", REFUSALS[state]);
    res.locals["token"] = token;
    next();
  };
}

export function tokenIn(res: Response): Token {
  return res.locals["token"] as Token;
}

/** A handler that answers 403 unless the token has these scopes. A write scope includes its read scope. */
export function needs(...scopes: string[]) {
  return (_req: Request, res: Response, next: NextFunction): void => {
    checkScopes(res, scopes);
    next();
  };
}

export function checkScopes(res: Response, needed: readonly string[]): void {
  const { scopes } = tokenIn(res);
  const has = (scope: string) => scopes.includes(scope) || scopes.includes(scope.replace(":read", ":write"));
  if (needed.every(has)) return;
  const message = "This operation requires the scopes listed in the 'required_scopes' array.";
  throw new RestError(403, "Insufficient scope", message, { required_scopes: needed });
}
