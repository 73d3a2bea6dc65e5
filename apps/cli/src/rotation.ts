import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { CalendlyClient, WebhookSubscription } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import {
  eventsToSubscribe,
  findByUri,
  findOwn,
  findOwner,
  generationOf,
  isActive,
  nextAddress,
  type SubscriptionOwner,
} from "@calendly-worker/core/calendly/subscriptions";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { liveInstances } from "@calendly-worker/core/store/instances";
import type { Rotation } from "@calendly-worker/core/store/subscriptions";
import { compareRange, reportLines } from "./comparison.ts";
import type { Installation } from "./installation.ts";

/** A step of the rotation that must not be taken now, and why. */
export class UnsafeStepError extends RefusalError {
  override readonly name = "UnsafeStepError";

  constructor(message: string) {
    super("step_unsafe", message);
  }
}

/** What the person at the terminal is told. */
export interface Telling {
  step(message: string): void;
  /** What is waited for. */
  waiting(message: string): void;
}

export type Rotated = "done" | "not yet";

const LOOK_EVERY_MS = 1_000;
/** Each look at Calendly's API costs a request. */
const ASK_EVERY_MS = 5_000;
const DAY_MS = 86_400_000;

/**
 * Replaces the signing key of the webhook subscription without a gap: the new subscription is made, under an address of
 * its own, before the old one is deleted, and while both deliver every fact comes twice and counts once. Every step is
 * written down before it is taken, so that whoever comes later goes on there. Rejects with an UnsafeStepError for a step
 * that would lose something.
 */
export async function rotate(
  installation: Installation,
  telling: Telling,
  { isEmergency, deadlineMs }: { readonly isEmergency: boolean; readonly deadlineMs: number },
): Promise<Rotated> {
  const { config, redis, subscriptions, credentials, fingerprintOf } = installation;
  const newKey = config.CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY;
  const url = webhookUrlOf(config);
  if (url === undefined) throw new RefusalError("config_invalid", "CALENDLY_WEBHOOK_BASE_URL is not set.");
  if (newKey === undefined) {
    throw new RefusalError(
      "config_invalid",
      "CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY is not set. Put the new key there, on every ingest and here: `openssl rand -hex 32` makes one.",
    );
  }
  const { client } = await installation.openCalendly();
  const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
  const owner = await findOwner(client, { organization, scope });
  const newFingerprint = fingerprintOf(newKey);
  const end = performance.now() + deadlineMs;

  let rotation = (await subscriptions.rotation()) ?? (await begin(url, owner));
  if (rotation.newFingerprint !== newFingerprint) {
    throw new UnsafeStepError(
      `A rotation to the key ${rotation.newFingerprint} is under way, and CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY holds ${newFingerprint}. Set it back, or give that one up with --abort.`,
    );
  }
  if (isEmergency && !rotation.isEmergency) rotation = await write({ ...rotation, isEmergency });
  telling.step(`Rotating from ${rotation.oldUri} to ${rotation.newUrl}.`);

  if (rotation.step === "creating") rotation = await create(rotation);
  if (rotation.step === "waiting") {
    const next = await wait(rotation);
    if (next === undefined) return "not yet";
    rotation = next;
  }
  if (rotation.step === "deleting") rotation = await remove(rotation);
  await reconcile(rotation);
  await subscriptions.endRotation();
  return "done";

  async function write(next: Rotation): Promise<Rotation> {
    await subscriptions.keepRotation(next);
    return next;
  }

  async function begin(address: string, of: SubscriptionOwner): Promise<Rotation> {
    const own = await findOwn(client, of, address);
    const [old, ...others] = own.filter(isActive);
    if (old === undefined) {
      throw new UnsafeStepError(
        `Calendly has no active subscription for ${address}: \`calendly webhooks register\` makes one.`,
      );
    }
    if (others.length > 0) {
      throw new UnsafeStepError(
        `Calendly has ${others.length + 1} active subscriptions for ${address}: delete all but one first, or it is not clear which to replace.`,
      );
    }
    const oldFingerprint = (await subscriptions.signingKeys()).get(old.uri) ?? null;
    if (oldFingerprint === newFingerprint) {
      throw new UnsafeStepError(
        "The subscription is signed with CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY already: there is nothing to rotate.",
      );
    }
    await requireAccepted();
    return await write({
      step: "creating",
      startedAt: new Date().toISOString(),
      oldUri: old.uri,
      oldFingerprint,
      newUrl: nextAddress(address, own),
      newFingerprint,
      newUri: null,
      verifiedBefore: await credentials.verifiedWith(newFingerprint),
      isEmergency,
      sweep: null,
    });
  }

  /** Whatever the new subscription delivers would be refused by an ingest that does not accept its key. */
  async function requireAccepted(): Promise<void> {
    const ingests = await liveInstances(redis, "ingest");
    if (ingests.length === 0)
      throw new UnsafeStepError("No ingest of this installation lives: nobody would take the deliveries.");
    const lacking = ingests.filter(({ signingKeys }) => !signingKeys.includes(newFingerprint));
    if (lacking.length === 0) return;
    const names = lacking.map(({ id }) => id).join(", ");
    throw new UnsafeStepError(
      `${lacking.length} of ${ingests.length} ingests do not accept the new key yet: ${names}. Set CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY there and restart them.`,
    );
  }

  async function create(current: Rotation): Promise<Rotation> {
    await requireAccepted();
    const old = await findByUri(client, current.oldUri);
    const made = await makeOrFind(current, old?.events ?? eventsToSubscribe(config.CALENDLY_WEBHOOK_EVENTS));
    if (old !== undefined && current.oldFingerprint !== null) {
      await subscriptions.rememberKey(current.oldUri, current.oldFingerprint);
    }
    await subscriptions.rememberKey(made.uri, newFingerprint);
    telling.step(
      old !== undefined && isActive(old)
        ? "Both subscriptions deliver now. Going back: `webhooks rotate --abort`; do not remove the new key before that."
        : `The new subscription alone delivers now, as the old one is ${stateOf(old)}. Do not remove the new key.`,
    );
    return await write({ ...current, step: "waiting", newUri: made.uri });
  }

  /** Whoever was ended after the request finds what it has made under the address that was written down before. */
  async function makeOrFind(current: Rotation, events: readonly string[]): Promise<WebhookSubscription> {
    if (newKey === undefined) throw new TypeError("there is no new key");
    try {
      return await client.createWebhookSubscription({ ...owner, url: current.newUrl, events, signingKey: newKey });
    } catch (error) {
      if (!(error instanceof CalendlyError && error.code === "conflict")) throw error;
      const found = await findNew(client, owner, current);
      if (found === undefined) throw error;
      return found;
    }
  }

  /** Until the new one is seen to deliver and the old one has nothing left to repeat. Undefined when that takes too long. */
  async function wait(current: Rotation): Promise<Rotation | undefined> {
    const next = { ...current, step: "deleting" } as const;
    if (current.isEmergency) {
      await requireDelivering(current);
      return await write(next);
    }
    let said = "";
    let askAt = 0;
    let isQuiet = false;
    for (;;) {
      const isSeen = (await credentials.verifiedWith(newFingerprint)) > current.verifiedBefore;
      if (performance.now() >= askAt) {
        askAt = performance.now() + ASK_EVERY_MS;
        await requireDelivering(current);
        const old = await findByUri(client, current.oldUri);
        // Calendly repeats nothing for one that is gone or disabled, whatever it says of its repeating.
        isQuiet = old === undefined || !isActive(old) || !old.retry_started_at;
      }
      if (isSeen && isQuiet) return await write(next);
      const what = isSeen
        ? "the old subscription to have nothing left to repeat"
        : "the first verified delivery by the new subscription: the next booking brings it";
      if (what !== said) telling.waiting(`Waiting for ${what} …`);
      said = what;
      if (performance.now() > end) return undefined;
      await pause(LOOK_EVERY_MS);
    }
  }

  /** The old one must not go while the new one does not deliver. */
  async function requireDelivering({ newUri }: Rotation): Promise<void> {
    const made = newUri === null ? undefined : await findByUri(client, newUri);
    if (made !== undefined && isActive(made)) return;
    throw new UnsafeStepError(
      `The new subscription is ${stateOf(made)}: without the old one nothing would be delivered. Give the rotation up with --abort, find out why, and begin again.`,
    );
  }

  async function remove(current: Rotation): Promise<Rotation> {
    await requireAccepted();
    await client.deleteWebhookSubscription(current.oldUri).catch((error: unknown) => {
      if (!(error instanceof CalendlyError && error.code === "not_found")) throw error;
    });
    await subscriptions.forgetKey(current.oldUri);
    telling.step(
      "The old subscription is deleted. Going back to an environment without the new key is not safe any more.",
    );
    return await write({ ...current, step: "reconciling", sweep: `rotation-${randomUUID()}` });
  }

  async function reconcile(current: Rotation): Promise<void> {
    const from = new Date(Date.parse(current.startedAt) - config.CALENDLY_RECONCILE_PAST_DAYS * DAY_MS).toISOString();
    const range = {
      kind: "range",
      name: current.sweep ?? "rotation",
      from,
      to: null,
      graceMs: 0,
      isDryRun: false,
    } as const;
    telling.waiting("Comparing all bookings with Calendly's API …");
    for (const line of reportLines(await compareRange(installation, range, telling.waiting))) telling.step(line);
  }
}

/** In a word. */
export function stateOf(subscription: WebhookSubscription | undefined): string {
  return subscription?.state ?? "gone";
}

/** The one that the rotation has made, or was about to make. */
export async function findNew(client: CalendlyClient, owner: SubscriptionOwner, { newUrl }: Rotation) {
  const own = await findOwn(client, owner, newUrl);
  return own.find(({ callback_url }) => generationOf(callback_url) === generationOf(newUrl));
}
