import type { Reason } from "../health.ts";

/** What a reason for not being well means, and where one acts. */
export interface Remedy {
  readonly says: string;
  /** What to run. */
  readonly command: string;
}

export const REMEDIES: Readonly<Record<Reason, Remedy>> = {
  redis_not_writable: {
    says: "Redis cannot be reached, takes no writes, or has no memory to spare. Deliveries are answered 503 and Calendly repeats them.",
    command: "pnpm calendly doctor",
  },
  no_token_works: {
    says: "Calendly takes none of the API tokens: nothing can be asked for, the flow of deliveries goes on.",
    command: "pnpm calendly tokens status",
  },
  token_failed_over: {
    says: "Calendly takes the primary API token no more; the secondary one is used.",
    command: "pnpm calendly tokens status",
  },
  token_approaching_limit: {
    says: "An API token has made most of the requests after which it should be replaced.",
    command: "pnpm calendly tokens status",
  },
  api_budget_used_up: {
    says: "The account's requests of this window are used up; what needs one waits.",
    command: "pnpm calendly doctor",
  },
  deliveries_pile_up: {
    says: "A delivery has waited for more than five minutes.",
    command: "pnpm calendly queue status",
  },
  deliveries_paused: {
    says: "Somebody has paused the deliveries: they are kept and not worked on.",
    command: "pnpm calendly queue resume",
  },
  deliveries_silent: {
    says: "Nothing is delivered, while Calendly's API knows of newer bookings.",
    command: "pnpm calendly webhooks test",
  },
  subscription_missing: {
    says: "Calendly has no webhook subscription to this installation.",
    command: "pnpm calendly webhooks register",
  },
  subscription_disabled: {
    says: "Calendly has disabled the webhook subscription: nothing is delivered.",
    command: "pnpm calendly webhooks register",
  },
  subscription_retrying: {
    says: "Calendly repeats deliveries that failed; a day of that disables the subscription.",
    command: "pnpm calendly webhooks list",
  },
  subscription_events_differ: {
    says: "The webhook subscription lacks events that are asked for. Delete it, and register anew.",
    command: "pnpm calendly webhooks list",
  },
  subscription_doubled: {
    says: "Two webhook subscriptions lead here; what they deliver twice counts once.",
    command: "pnpm calendly webhooks list",
  },
  subscription_stray: {
    says: "A webhook subscription of before is left over.",
    command: "pnpm calendly webhooks list",
  },
  subscription_not_healed: {
    says: "The webhook subscription could not be made anew.",
    command: "pnpm calendly webhooks register",
  },
  subscription_unchecked: {
    says: "Nobody has seen the webhook subscription for an hour: that nothing is said of it does not mean that it is well.",
    command: "pnpm calendly doctor",
  },
  rotation_stalled: {
    says: "A rotation of the signing key was begun over a day ago and is not finished.",
    command: "pnpm calendly webhooks rotate",
  },
};
