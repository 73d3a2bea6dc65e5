import { createHmac } from "node:crypto";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Happening } from "./account.ts";
import { type Clock, HOUR, MINUTE } from "./clock.ts";
import type { Faults } from "./faults.ts";
import type { Random } from "./random.ts";
import type { Subscription } from "./subscriptions.ts";

/** One try to deliver, as it went. */
export interface Attempt {
  /** Counts all attempts from 1. */
  readonly number: number;
  readonly event: string;
  /** URI of what the payload is about. */
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

interface Message {
  readonly subscription: Subscription;
  readonly happening: Happening;
  readonly body: string;
  attempts: number;
  firstT?: number;
  firstFailedAt?: number;
}

const FIRST_RETRY_MS = MINUTE;
const LONGEST_RETRY_MS = 4 * HOUR;
export const GIVE_UP_AFTER_MS = 24 * HOUR;
/** Calendly's own: 10 s to connect, 15 s to read. */
const ANSWER_TIMEOUT_MS = 15_000;

/** Sends what happened to those who subscribed, as Calendly does: signed, with retries, until it gives up. */
export function createDeliverer(ports: {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly createdBy: string;
  /** Real time in ms, for signatures. */
  readonly now: () => number;
  readonly onAttempt: (attempt: Attempt) => void;
}) {
  const { clock, random, faults, now } = ports;
  const held: Message[] = [];
  let swapping: Message | undefined;
  /** Messages on their way, delayed or waiting for their next try. */
  const pending = new Set<Message>();
  const exhausted = new Set<Subscription>();
  let count = 0;

  function enqueue(message: Message): void {
    if (faults.dropNext > 0) {
      faults.dropNext -= 1;
      return;
    }
    if (faults.drop > 0 && random.next() < faults.drop) return;
    if (faults.swapNext) {
      if (swapping === undefined) {
        swapping = message;
        return;
      }
      const first = swapping;
      swapping = undefined;
      faults.swapNext = false;
      // The second one is answered before the first one leaves, or else the order would be a matter of luck.
      void start(message).then(() => start(first));
      return;
    }
    if (faults.reorder > 1) {
      held.push(message);
      if (held.length >= faults.reorder) release();
      return;
    }
    void start(message);
  }

  function release(): void {
    for (const message of random.shuffle(held.splice(0))) void start(message);
  }

  async function start(message: Message): Promise<void> {
    const copies = [message, ...Array.from({ length: faults.duplicate - 1 }, () => ({ ...message }))];
    for (const copy of copies) {
      pending.add(copy);
      const delayMs = faults.delayMinMs + random.next() * Math.max(0, faults.delayMaxMs - faults.delayMinMs);
      if (delayMs > 0) clock.after(delayMs, () => void send(copy));
      else await send(copy);
    }
  }

  async function send(message: Message): Promise<void> {
    const { subscription } = message;
    if (subscription.state === "disabled") {
      pending.delete(message);
      return;
    }
    message.attempts += 1;
    const renewed = Math.floor(now() / 1_000);
    const t = faults.signatureTimeOnRetry === "frozen" ? (message.firstT ?? renewed) : renewed;
    message.firstT ??= t;
    const startedAt = performance.now();
    const result = await post(subscription, message.body, t).catch((error: Error) => ({ error: error.message }));
    count += 1;
    ports.onAttempt({
      number: count,
      event: message.happening.event,
      about: String(message.happening.payload["uri"] ?? ""),
      subscription: subscription.uri,
      attempt: message.attempts,
      sentAt: new Date().toISOString(),
      t,
      ...result,
      ms: Math.round(performance.now() - startedAt),
    });
    if ("status" in result && result.status >= 200 && result.status < 300) succeed(message);
    else fail(message);
  }

  function succeed(message: Message): void {
    pending.delete(message);
    const retrying = [...pending].some(
      (other) => other.subscription === message.subscription && other.firstFailedAt !== undefined,
    );
    if (!retrying) message.subscription.retryStartedAt = null;
  }

  function fail(message: Message): void {
    const { subscription } = message;
    message.firstFailedAt ??= clock.now();
    subscription.retryStartedAt ??= new Date(now()).toISOString().replace("Z", "000Z");
    // After a day of failures, the next message that fails ends the subscription; what waits for a retry goes with it.
    if (exhausted.has(subscription) && clock.now() - message.firstFailedAt < GIVE_UP_AFTER_MS) {
      subscription.state = "disabled";
      subscription.updatedAt = new Date(now()).toISOString().replace("Z", "000Z");
      for (const other of [...pending]) if (other.subscription === subscription) pending.delete(other);
      return;
    }
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (message.attempts - 1), LONGEST_RETRY_MS);
    if (clock.now() - message.firstFailedAt + delayMs > GIVE_UP_AFTER_MS) {
      exhausted.add(subscription);
      pending.delete(message);
      return;
    }
    clock.after(delayMs, () => {
      if (pending.has(message)) void send(message);
    });
  }

  return {
    faults,
    deliver(happening: Happening, subscription: Subscription): void {
      const { event, createdAt, payload } = happening;
      const body = JSON.stringify({ created_at: createdAt, created_by: ports.createdBy, event, payload });
      enqueue({ subscription, happening, body, attempts: 0 });
    },
    /** Lets go what reordering or swapping holds back for want of company. */
    releaseHeld(): void {
      release();
      const waiting = swapping;
      swapping = undefined;
      if (waiting !== undefined) void start(waiting);
    },
    /** What is held back, on its way or waiting for a retry, in words. Empty when all is settled. */
    outstanding(): string[] {
      const waiting = [...held, ...(swapping === undefined ? [] : [swapping])].map(
        ({ happening }) => `${happening.event} held back`,
      );
      const moving = [...pending].map(({ happening, attempts }) => `${happening.event} after ${attempts} tries`);
      return [...waiting, ...moving];
    },
  };
}

/** `t=<unix seconds>,v1=<hex HMAC-SHA256 of t, a dot and the body, under the key's UTF-8 bytes>`. */
export function signatureHeader(key: string, t: number, body: string): string {
  return `t=${t},v1=${createHmac("sha256", Buffer.from(key, "utf8")).update(`${t}.${body}`, "utf8").digest("hex")}`;
}

function post({ url, signingKey }: Subscription, body: string, t: number): Promise<{ status: number; body: unknown }> {
  const send = url.startsWith("https:") ? httpsRequest : httpRequest;
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    "User-Agent": "Calendly",
    "Calendly-Webhook-Signature": signatureHeader(signingKey, t, body),
  };
  return new Promise((resolve, reject) => {
    // A connection of its own for each: what is slow or broken for one delivery is not for the next.
    const sending = send(
      url,
      { method: "POST", headers, agent: false, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: parse(Buffer.concat(chunks).toString("utf8")) }),
        );
      },
    );
    sending.on("error", reject);
    sending.end(body);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
