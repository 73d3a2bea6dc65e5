import { signatureHeader } from "@calendly-worker/core/calendly/signature";

/** What came of a delivery that was posted to the public address. */
export type Answered =
  | { readonly kind: "answered"; readonly status: number; readonly word: string; readonly ms: number }
  | { readonly kind: "unreachable"; readonly why: string };

const TIMEOUT_MS = 4_000;

/**
 * Posts a signed body as Calendly would. `word` is what the ingest says of it: the status or the code of its answer, or
 * empty where it was not the ingest that answered.
 */
export async function post(url: string, key: string, body: string): Promise<Answered> {
  const from = performance.now();
  try {
    const response = await fetch(url, {
      method: "POST",
      body,
      redirect: "manual",
      headers: {
        "content-type": "application/json",
        "user-agent": "calendly-worker",
        "calendly-webhook-signature": signatureHeader(key, body, Math.floor(Date.now() / 1_000)),
      },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const word = wordOf(await response.text());
    return { kind: "answered", status: response.status, word, ms: Math.round(performance.now() - from) };
  } catch (error) {
    return { kind: "unreachable", why: sentenceOf(error) };
  }
}

/** White space and characters that whoever parses JSON on the way and writes it again does not keep. */
export function fragileJson(value: object): string {
  return `${JSON.stringify({ ...value, note: "é ☕" }, null, 1)}\n`;
}

/** What stands in the way of deliveries, and the way out; undefined where nothing does. */
export function faultOf(
  answer: Answered,
  url: string,
): { readonly message: string; readonly advice: string } | undefined {
  if (answer.kind === "unreachable") {
    return {
      message: `${url} cannot be reached from here: ${answer.why}.`,
      advice: "Check CALENDLY_WEBHOOK_BASE_URL, DNS, the certificate, the firewall and the reverse proxy.",
    };
  }
  const { status, word } = answer;
  if (status === 200 && word !== "") return undefined;
  const message = `${url} answers ${status}${word === "" ? "" : ` ${word}`}.`;
  return { message, advice: ADVICE[word] ?? OTHERWISE };
}

const OTHERWISE =
  "Something else than the ingest answers there: check CALENDLY_WEBHOOK_BASE_URL, CALENDLY_WEBHOOK_ENDPOINT_PREFIX and what the reverse proxy forwards.";
const ADVICE: Readonly<Record<string, string>> = {
  signature_mismatch:
    "Either the ingest has another signing key than this environment, or something on the way changes the body: the proxy must forward the raw bytes.",
  signature_missing: "Something on the way drops the header Calendly-Webhook-Signature: let the proxy forward it.",
  timestamp_outside_window: "The clocks of this machine and of the ingest's differ: synchronize them (NTP).",
  queue_unavailable: "The ingest does not get Redis to take deliveries: look at its log and at Redis.",
  not_found: "The ingest listens under another path: CALENDLY_WEBHOOK_ENDPOINT_PREFIX must be the same there and here.",
};

function wordOf(text: string): string {
  try {
    const { status, error } = JSON.parse(text) as { status?: unknown; error?: { code?: unknown } };
    return String(status ?? error?.code ?? "");
  } catch {
    return "";
  }
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${TIMEOUT_MS / 1_000} s`;
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return cause.message || ("code" in cause ? String(cause.code) : cause.name);
}
