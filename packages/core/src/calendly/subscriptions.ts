import type { CalendlyClient, SubscriptionScope, WebhookSubscription } from "./client.ts";
import { CalendlyError } from "./errors.ts";
import type { CallOptions } from "./requester.ts";

/** Whose bookings a subscription tells of. */
export interface SubscriptionOwner {
  readonly organization: string;
  readonly scope: SubscriptionScope;
  /** There where the scope is `user`. */
  readonly user?: string;
}

/** The guide speaks of it, and Calendly refuses it: a reschedule comes as these two. */
export const RESCHEDULED = "invitee.rescheduled";
export const HALVES = ["invitee.created", "invitee.canceled"] as const;

/** The organization is that of the token's user unless it is given. */
export async function findOwner(
  client: Pick<CalendlyClient, "currentUser">,
  { organization, scope }: { readonly organization?: string | undefined; readonly scope: SubscriptionScope },
  options?: CallOptions,
): Promise<SubscriptionOwner> {
  const user = await client.currentUser(options);
  const owner = { organization: organization ?? user.current_organization, scope };
  return scope === "user" ? { ...owner, user: user.uri } : owner;
}

/** What to subscribe to, in words that Calendly takes. */
export function eventsToSubscribe(wanted: readonly string[]): string[] {
  return [...new Set(wanted.flatMap((event) => (event === RESCHEDULED ? HALVES : [event])))];
}

/** All subscriptions of the owner that deliver to `url`, whatever its query: that names the generation of the key. */
export async function findOwn(
  client: Pick<CalendlyClient, "webhookSubscriptions">,
  owner: SubscriptionOwner,
  url: string,
  options?: CallOptions,
): Promise<WebhookSubscription[]> {
  const own: WebhookSubscription[] = [];
  for await (const subscription of client.webhookSubscriptions(owner, options)) {
    if (placeOf(subscription.callback_url) === placeOf(url)) own.push(subscription);
  }
  return own;
}

/** What Calendly says of a subscription; undefined where it has none of that URI any more. */
export async function findByUri(
  client: Pick<CalendlyClient, "webhookSubscription">,
  uri: string,
  options?: CallOptions,
): Promise<WebhookSubscription | undefined> {
  try {
    return await client.webhookSubscription(uri, options);
  } catch (error) {
    if (error instanceof CalendlyError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** The key generation that a callback URL names with `?g=`; 0 where it names none. */
export function generationOf(url: string): number {
  const given = URL.canParse(url) ? new URL(url).searchParams.get("g") : null;
  return given !== null && /^\d{1,9}$/.test(given) ? Number(given) : 0;
}

/**
 * The address for a new subscription: that of the installation where nothing is subscribed to it, and else the highest
 * generation plus one. Whoever makes one takes this, so that two who do it at once make one.
 */
export function nextAddress(url: string, own: readonly WebhookSubscription[]): string {
  if (own.length === 0) return url;
  const generation = Math.max(0, ...own.map(({ callback_url }) => generationOf(callback_url))) + 1;
  const next = new URL(url);
  next.searchParams.set("g", String(generation));
  return next.href;
}

export const isActive = ({ state }: WebhookSubscription) => state === "active";

/** What can be wrong with an installation's subscriptions. A closed list. */
export const SUBSCRIPTION_FAULTS = ["missing", "disabled", "retrying", "events_differ", "doubled", "stray"] as const;

export interface SubscriptionFault {
  readonly code: (typeof SUBSCRIPTION_FAULTS)[number];
  /** URI of the subscription that it is about, or the address that has none. */
  readonly subject: string;
  readonly message: string;
}

/** What is wrong, given the own subscriptions, those of another scope at the same address, and what is to be heard of. */
export function judgeSubscriptions(of: {
  readonly url: string;
  readonly own: readonly WebhookSubscription[];
  readonly foreign: readonly WebhookSubscription[];
  readonly events: readonly string[];
  /** Whether a rotation of the signing key is under way, which needs two of them for a while. */
  readonly isRotating: boolean;
}): SubscriptionFault[] {
  const { url, own, foreign, events, isRotating } = of;
  const active = own.filter(isActive);
  const [first] = active;
  const faults: SubscriptionFault[] = [];
  if (own.length === 0) {
    faults.push({
      code: "missing",
      subject: url,
      message: `Calendly has no subscription for ${url}: nothing is delivered.`,
    });
  } else if (first === undefined) {
    const message = "Calendly has disabled the subscription: nothing is delivered, and what happens now never will be.";
    faults.push({ code: "disabled", subject: newest(own).uri, message });
  }
  for (const { uri, retry_started_at: since } of active) {
    if (!since) continue;
    const message = `Calendly has been repeating failed deliveries since ${since}; after a day of that it disables the subscription.`;
    faults.push({ code: "retrying", subject: uri, message });
  }
  if (active.length > 1 && !isRotating) {
    const message = `There are ${active.length} active subscriptions: each fact is delivered as often. Delete all but one.`;
    faults.push({ code: "doubled", subject: newest(active).uri, message });
  }
  const lacking = events.filter((event) => active.every((subscription) => !subscription.events.includes(event)));
  if (first !== undefined && lacking.length > 0) {
    const message = `The subscription does not tell of ${lacking.join(", ")}: delete it, and register anew.`;
    faults.push({ code: "events_differ", subject: newest(active).uri, message });
  }
  const left = first === undefined ? [] : own.filter((subscription) => !isActive(subscription));
  for (const { uri } of left) {
    faults.push({
      code: "stray",
      subject: uri,
      message: "A disabled subscription is left beside the active one. Delete it.",
    });
  }
  for (const { uri, scope } of foreign) {
    const message = `Another subscription, of the scope ${scope}, delivers to the same address: facts come twice.`;
    faults.push({ code: "stray", subject: uri, message });
  }
  return faults;
}

/** The one of the highest generation. */
export function newest(subscriptions: readonly WebhookSubscription[]): WebhookSubscription {
  const [first] = subscriptions.toSorted((a, b) => generationOf(b.callback_url) - generationOf(a.callback_url));
  if (first === undefined) throw new RangeError("expected one subscription or more, got none");
  return first;
}

/** Those of the other scope at the same address. Who may not list them has none to worry about. */
export async function findForeign(
  client: Pick<CalendlyClient, "webhookSubscriptions" | "currentUser">,
  { organization, scope }: SubscriptionOwner,
  url: string,
  options?: CallOptions,
): Promise<WebhookSubscription[]> {
  const other = scope === "user" ? "organization" : "user";
  try {
    return await findOwn(client, await findOwner(client, { organization, scope: other }, options), url, options);
  } catch (error) {
    if (error instanceof CalendlyError && error.code === "permission_denied") return [];
    throw error;
  }
}

/** An address without its query. */
export function placeOf(url: string): string {
  return url.split("?", 1)[0] ?? url;
}
