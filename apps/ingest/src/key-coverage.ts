import type { Credentials } from "@calendly-worker/core/store/credentials";
import type { SubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import type { Logger } from "@calendly-worker/core/telemetry/logger";

/**
 * Whether every live subscription's signing key is accepted here. Where an environment was rolled back across a rotation
 * it is not, and all that is delivered would be refused: such an ingest is not ready.
 */
export interface KeyCoverage {
  /** Says which keys are accepted, by fingerprint. */
  accept(fingerprints: readonly string[]): Promise<void>;
  /** Looks at Redis; rejects when that fails. Says in the log what is lacking, when it is new. */
  isComplete(): Promise<boolean>;
}

export function createKeyCoverage(ports: {
  readonly subscriptions: Pick<SubscriptionStore, "signingKeys">;
  readonly credentials: Pick<Credentials, "lastSlotOf">;
  readonly log: Logger;
}): KeyCoverage {
  const { subscriptions, credentials, log } = ports;
  let accepted: readonly string[] = [];
  let said = "";

  async function isComplete(): Promise<boolean> {
    const live = [...(await subscriptions.signingKeys())];
    const lacking = live.filter(([, fingerprint]) => !accepted.includes(fingerprint));
    const names = lacking.map(([uri]) => uri).join();
    if (names !== said) {
      said = names;
      if (names === "") log.info({}, "the keys of all live subscriptions are accepted");
      for (const [subscription, fingerprint] of lacking) await say(subscription, fingerprint);
    }
    return lacking.length === 0;
  }

  async function say(subscription: string, fingerprint: string): Promise<void> {
    const slot = await credentials.lastSlotOf(fingerprint);
    const variable = `CALENDLY_WEBHOOK_SIGNING_KEY${slot === "secondary" ? "_SECONDARY" : ""}`;
    const advice = `Restore the key that ${variable} held before, in that variable or in the other of the two.`;
    log.error({ subscription, fingerprint, advice }, "the signing key of a live subscription is not accepted");
  }

  return {
    async accept(fingerprints) {
      accepted = fingerprints;
      await isComplete();
    },
    isComplete,
  };
}
