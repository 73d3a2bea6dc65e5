import { readBody } from "@calendly-worker/core/calendly/deliveries";
import type { Delivery } from "@calendly-worker/core/store/bookings";

/** What Calendly's API says goes the way of what Calendly delivers. */
export function askedDelivery(text: string, nowMs: number): Delivery {
  const body: unknown = JSON.parse(text);
  const { identity } = readBody(body);
  return { identity, body, receivedAt: new Date(nowMs).toISOString(), origin: "reconcile" };
}
