import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { Webhook } from "standardwebhooks";
import { type TargetGuard, TargetRefusedError } from "./push-target.ts";

/** One request to a destination, signed after Standard Webhooks (https://www.standardwebhooks.com). */
export interface PushRequest {
  readonly url: string;
  /** Of the outcome: the `webhook-id`, the same at every try. */
  readonly id: string;
  readonly body: string;
  /** `whsec_…`: signed with each of them. */
  readonly secrets: readonly string[];
}

export type Pushed =
  | { readonly kind: "delivered"; readonly status: number }
  /** 410: the destination wants nothing any more. */
  | { readonly kind: "gone" }
  | {
      readonly kind: "failed";
      readonly reason: string;
      /** What the destination asked for, in ms. */
      readonly retryAfterMs?: number;
    }
  /** The address must not be connected to. */
  | { readonly kind: "refused"; readonly reason: string };

export interface Pusher {
  push(request: PushRequest): Promise<Pushed>;
  close(): void;
}

/** What a destination says beyond its status matters to nobody: it is not read further, nor longer, than this. */
const MOST_READ_BYTES = 65_536;
const MOST_READING_MS = 500;

/** Never rejects. Redirects are not followed: where they lead is nobody's destination. */
export function createPusher(ports: {
  readonly guard: TargetGuard;
  readonly timeoutMs: number;
  readonly now: () => number;
}): Pusher {
  const { guard, timeoutMs, now } = ports;
  const sockets = { keepAlive: true, keepAliveMsecs: 1_000, timeout: timeoutMs };
  const agents = { http: new HttpAgent(sockets), https: new HttpsAgent(sockets) };

  function send({ url, id, body, secrets }: PushRequest): Promise<IncomingMessage> {
    const target = new URL(url);
    guard.checkHost(target.hostname);
    const at = new Date(now());
    const headers = {
      "content-type": "application/cloudevents+json",
      "content-length": Buffer.byteLength(body),
      "user-agent": "calendly-worker",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
      "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, at, body)).join(" "),
    };
    const options = { method: "POST", headers, lookup: guard.lookup, signal: AbortSignal.timeout(timeoutMs) };
    const request =
      target.protocol === "https:"
        ? requestHttps(target, { ...options, agent: agents.https })
        : requestHttp(target, { ...options, agent: agents.http });
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request.once("response", resolve);
    request.on("error", reject);
    request.end(body);
    return promise;
  }

  return {
    async push(request) {
      let response: IncomingMessage;
      try {
        response = await send(request);
      } catch (error) {
        if (error instanceof TargetRefusedError) return { kind: "refused", reason: error.message };
        return { kind: "failed", reason: reasonOf(error, timeoutMs) };
      }
      drain(response);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) return { kind: "delivered", status };
      if (status === 410) return { kind: "gone" };
      const redirect = status >= 300 && status < 400 ? ": redirects are not followed" : "";
      const retryAfterMs = parseRetryAfter(response.headers["retry-after"], now());
      return {
        kind: "failed",
        reason: `answered ${status}${redirect}`,
        ...(retryAfterMs !== undefined && { retryAfterMs }),
      };
    },
    close() {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

/** Reads a short answer to its end, so that the connection can be used again; a long or slow one is cut off. */
function drain(response: IncomingMessage): void {
  response.on("error", () => {});
  if (Number(response.headers["content-length"] ?? 0) > MOST_READ_BYTES) {
    response.destroy();
    return;
  }
  let read = 0;
  response.on("data", (chunk: Buffer) => {
    read += chunk.length;
    if (read > MOST_READ_BYTES) response.destroy();
  });
  const slow = setTimeout(() => response.destroy(), MOST_READING_MS);
  response.once("close", () => clearTimeout(slow));
}

/** Milliseconds that a `Retry-After` asks for: seconds or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** What went wrong, without what was sent or where to. */
function reasonOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return "the request failed";
  if (error.name === "AbortError" || error.name === "TimeoutError") return `no answer within ${timeoutMs / 1_000} s`;
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return `the connection failed (${code})`;
}
