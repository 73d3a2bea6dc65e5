import type { BudgetHeaders, TokenFault } from "./errors.ts";

/**
 * Who goes first when the account's budget is short: what a live event needs, missing halves, then monitors and sweeps,
 * which may take only a share of it.
 */
export const PRIORITIES = ["live", "missing_half", "monitor", "sweep"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A token as the environment gives it. `fingerprint` names it without telling it. */
export interface ApiToken {
  readonly slot: "primary" | "secondary";
  readonly fingerprint: string;
  readonly value: string;
}

export type Entry =
  /** One request may be made, with that token. */
  | { readonly kind: "go"; readonly ticket: string; readonly token: ApiToken }
  /** The budget is used up for now. */
  | { readonly kind: "wait"; readonly ms: number }
  /** Calendly takes none of the tokens. */
  | { readonly kind: "no_token" };

/** What a request came to, for all processes to know. */
export interface Passage {
  readonly ticket: string;
  readonly token: ApiToken;
  readonly budget: BudgetHeaders;
  /** Whether Calendly answered 429. */
  readonly isRefused: boolean;
  /** Why Calendly takes the token no more. */
  readonly tokenFault?: TokenFault;
  /** Scopes that the token has proved by this request. */
  readonly provenScopes: readonly string[];
}

/**
 * The door to Calendly's API that all processes share: it counts requests against the account's budget and knows which
 * token to use.
 */
export interface ApiGate {
  /** `token` asks for that one, to see whether it works; else the first that does is given. */
  enter(wanted: { readonly priority: Priority; readonly token?: ApiToken }): Promise<Entry>;
  leave(passage: Passage): Promise<void>;
  readonly tokens: readonly ApiToken[];
}
