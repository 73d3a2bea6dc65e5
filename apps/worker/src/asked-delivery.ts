import { readBody } from "@calendly-worker/core/calendly/deliveries";
import type { Delivery } from "@calendly-worker/core/store/bookings";

/**
 * What Calendly's API says goes the way of what Calendly delivers. `deliveredLate`: identity of the fact whose late
 * delivery is why it was asked.
 */
export function askedDelivery(text: string, nowMs: number, deliveredLate?: string): Delivery {
  const body: unknown = JSON.parse(text);
  const { identity } = readBody(body);
  const receivedAt = new Date(nowMs).toISOString();
  return { identity, body, receivedAt, origin: "reconcile", ...(deliveredLate && { deliveredLate }) };
}
