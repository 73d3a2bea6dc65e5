import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";

/** What the guardian looks after: nothing where it is switched off, silence alone where no public address is configured. */
export type Guarded = "subscription" | "silence" | "nothing";

export function guardedBy(config: {
  readonly CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: number;
  readonly CALENDLY_WEBHOOK_BASE_URL?: string | undefined;
  readonly CALENDLY_WEBHOOK_ENDPOINT_PREFIX: string;
}): Guarded {
  if (config.CALENDLY_SUBSCRIPTION_CHECK_INTERVAL === 0) return "nothing";
  return webhookUrlOf(config) === undefined ? "silence" : "subscription";
}
