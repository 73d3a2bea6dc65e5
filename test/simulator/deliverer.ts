import type { Happening } from "./account.ts";
import { type Clock, HOUR, MINUTE } from "./clock.ts";
import type { Faults } from "./faults.ts";
import { createHolding } from "./holding.ts";
import { aboutOf, inWords, type Message } from "./message.ts";
import { type Answer, type PostTimeouts, post } from "./post.ts";
import type { Random } from "./random.ts";
import { signatureHeader } from "./signature.ts";
import type { Subscription } from "./subscriptions.ts";
import { timestamp } from "./timestamps.ts";

/** One try to deliver, as it went. */
export interface Attempt {
  /** Counts all attempts from 1, in the order in which they ended. */
  readonly number: number;
  readonly event: string;
  /** URI of what the payload is about: the invitee, for bookings and no-shows. */
  readonly about: string;
  readonly subscription: string;
  /** 1 at the first try. */
  readonly attempt: number;
  readonly sentAt: string;
  /** The signature's time, unix seconds. */
  readonly t: number;
  /** Undefined when there was no answer. */
  readonly status?: number;
  /** Parsed where it is JSON. */
  readonly body?: unknown;
  readonly error?: string;
  readonly ms: number;
}

const isActive = ({ state }: Subscription) => state === "active";

// Calendly tells the 24 hours, not the steps.
const FIRST_RETRY_MS = MINUTE;
const LONGEST_RETRY_MS = 4 * HOUR;
const GIVE_UP_AFTER_MS = 24 * HOUR;

/** Sends what happened to those who subscribed, as Calendly does: signed, with retries, until it gives up. */
export function createDeliverer(ports: {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly timeouts: PostTimeouts;
  /** Real time in ms, for signatures. */
  readonly now: () => number;
  readonly onAttempt: (attempt: Attempt) => void;
}) {
  const { clock, faults, now } = ports;
  const stopping = new AbortController();
  /** Messages that are delayed, on their way or waiting for their next try. */
  const pending = new Set<Message>();
  /** Those for whom a message was tried for a day in vain, and nothing has succeeded since. */
  const givenUpOn = new Set<Subscription>();
  const holding = createHolding({ random: ports.random, faults, send: (messages) => void sendInOrder(messages) });
  let count = 0;

  /** Each is answered before the next one leaves, or else the order would be a matter of luck. */
  async function sendInOrder(messages: readonly Message[]): Promise<void> {
    for (const message of messages) pending.add(message);
    for (const message of messages) {
      if (message.delayMs > 0) clock.after(message.delayMs, () => void send(message));
      else await send(message);
    }
  }

  async function send(message: Message): Promise<void> {
    const { subscription, happening, body } = message;
    if (!pending.has(message) || !isActive(subscription)) {
      pending.delete(message);
      return;
    }
    message.attempts += 1;
    message.phase = "on its way";
    const renewed = Math.floor((now() + faults.signatureClockSkewMs) / 1_000);
    const t = faults.signatureTimeOnRetry === "frozen" ? (message.firstT ?? renewed) : renewed;
    message.firstT ??= t;
    const sentAt = new Date().toISOString();
    const startedAt = performance.now();
    const headers = {
      "User-Agent": "Calendly",
      "Calendly-Webhook-Signature": signatureHeader(subscription.signingKey, t, body),
    };
    const result: Answer | { readonly error: string } = await post(subscription.url, {
      headers,
      body,
      timeouts: ports.timeouts,
      signal: stopping.signal,
    }).catch((error: Error) => ({ error: error.message }));
    if (stopping.signal.aborted) return;
    count += 1;
    ports.onAttempt({
      number: count,
      event: happening.event,
      about: aboutOf(happening),
      subscription: subscription.uri,
      attempt: message.attempts,
      sentAt,
      t,
      ...result,
      ms: Math.round(performance.now() - startedAt),
    });
    // It may have been disabled or deleted meanwhile.
    if (!isActive(subscription)) pending.delete(message);
    else if ("status" in result && result.status >= 200 && result.status < 300) succeed(message);
    else fail(message);
  }

  function succeed(message: Message): void {
    const { subscription } = message;
    pending.delete(message);
    const isRetrying = [...pending].some(
      (other) => other.subscription === subscription && other.firstFailedAt !== undefined,
    );
    if (isRetrying) return;
    subscription.retryStartedAt = null;
    givenUpOn.delete(subscription);
  }

  function fail(message: Message): void {
    const { subscription } = message;
    message.firstFailedAt ??= clock.now();
    subscription.retryStartedAt ??= timestamp(now());
    if (givenUpOn.has(subscription)) {
      pending.delete(message);
      disable(subscription);
      return;
    }
    const leftMs = message.firstFailedAt + GIVE_UP_AFTER_MS - clock.now();
    if (leftMs < FIRST_RETRY_MS) {
      givenUpOn.add(subscription);
      pending.delete(message);
      return;
    }
    message.phase = "waiting for a retry";
    const stepMs = Math.min(FIRST_RETRY_MS * 2 ** (message.attempts - 1), LONGEST_RETRY_MS);
    clock.after(Math.min(stepMs, leftMs), () => void send(message));
  }

  /** What waits for it goes with it: Calendly never sends the events of the dark time. */
  function disable(subscription: Subscription): void {
    subscription.state = "disabled";
    subscription.updatedAt = timestamp(now());
    for (const message of [...pending])
      if (message.subscription === subscription && message.phase !== "on its way") pending.delete(message);
  }

  return {
    deliver(happening: Happening, subscription: Subscription): void {
      const { event, createdAt, payload } = happening;
      const envelope = { created_at: createdAt, created_by: subscription.creator, event, payload };
      holding.take(subscription, happening, JSON.stringify(envelope));
    },

    releaseHeld: holding.release,

    /** What is held back, on its way or waiting for a retry, in words. Empty when all is settled. */
    outstanding(): string[] {
      const isAwaited = ({ subscription, phase }: Message) => subscription.state === "active" || phase === "on its way";
      return [...holding.held(), ...pending].filter(isAwaited).map(inWords);
    },

    /** Gives up what is on its way; nothing is sent or told any more. */
    stop(): void {
      stopping.abort();
      pending.clear();
    },
  };
}
