import { createHmac } from "node:crypto";

export const SIGNING_KEY = "test-signing-key-not-a-secret";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: { readonly status?: string; readonly id?: string; readonly error?: { code: string; message: string } };
}

/** The header Calendly would send. Written here once more on purpose: it checks the product's own reading of the rule. */
export function signatureHeader(
  body: string | Uint8Array,
  key = SIGNING_KEY,
  seconds = Math.floor(Date.now() / 1_000),
): string {
  const digest = createHmac("sha256", key).update(`${seconds}.`).update(body).digest("hex");
  return `t=${seconds},v1=${digest}`;
}

/** Posts bytes as Calendly does. Without `signature` they are signed rightly; null sends no signature at all. */
export async function deliver(
  url: string,
  body: string | Uint8Array<ArrayBuffer>,
  {
    signature = signatureHeader(body),
    headers = {},
  }: { signature?: string | null; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      "user-agent": "Calendly",
      ...(signature === null ? {} : { "calendly-webhook-signature": signature }),
      ...headers,
    },
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Answer["body"] };
}
