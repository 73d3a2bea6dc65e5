/** Where Calendly is to deliver, as the world sees it; undefined where the public address is not configured. */
export function webhookUrlOf(config: {
  readonly CALENDLY_WEBHOOK_BASE_URL?: string | undefined;
  readonly CALENDLY_WEBHOOK_ENDPOINT_PREFIX: string;
}): string | undefined {
  const { CALENDLY_WEBHOOK_BASE_URL: base, CALENDLY_WEBHOOK_ENDPOINT_PREFIX: path } = config;
  return base === undefined ? undefined : `${base.replace(/\/$/, "")}${path}`;
}
