import { createHmac } from "node:crypto";

/**
 * `t=<unix seconds>,v1=<hex HMAC-SHA256 of t, a dot and the body, under the key's UTF-8 bytes>`. Written from Calendly's
 * documentation, on purpose without the project's own code: it checks that.
 */
export function signatureHeader(key: string, t: number, body: string): string {
  return `t=${t},v1=${createHmac("sha256", Buffer.from(key, "utf8")).update(`${t}.${body}`, "utf8").digest("hex")}`;
}
