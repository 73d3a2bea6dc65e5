import { findByUri, findOwner, isActive } from "@calendly-worker/core/calendly/subscriptions";
import type { Installation } from "./installation.ts";
import { findNew, stateOf, UnsafeStepError } from "./rotation.ts";

/** What Calendly's subscriptions are like once a rotation was to be given up. */
export type Aborted = "none under way" | "old delivers" | "none delivers";

/**
 * Gives up a rotation: the new subscription is deleted. Rejects with an UnsafeStepError where that is the only one that
 * delivers.
 */
export async function abortRotation({ config, subscriptions, openCalendly }: Installation): Promise<Aborted> {
  const rotation = await subscriptions.rotation();
  if (rotation === undefined) return "none under way";
  if (rotation.step !== "creating" && rotation.step !== "waiting") {
    throw new UnsafeStepError("The old subscription is deleted, or about to be: the rotation can only be finished.");
  }
  const { client } = await openCalendly();
  const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
  const made = await findNew(client, await findOwner(client, { organization, scope }), rotation);
  const old = await findByUri(client, rotation.oldUri);
  const isOldActive = old !== undefined && isActive(old);
  if (!isOldActive && made !== undefined && isActive(made)) {
    throw new UnsafeStepError(
      `The old subscription is ${stateOf(old)}: the new one alone delivers, and giving the rotation up would delete it. Go on with \`calendly webhooks rotate\`; only if the new key is lost, delete ${made.uri} first.`,
    );
  }
  if (made !== undefined) {
    await client.deleteWebhookSubscription(made.uri);
    await subscriptions.forgetKey(made.uri);
  }
  await subscriptions.endRotation();
  return isOldActive ? "old delivers" : "none delivers";
}
