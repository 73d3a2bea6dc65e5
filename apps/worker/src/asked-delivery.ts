import { readDelivery } from "@calendly-worker/core/calendly/deliveries";
import type { Delivery } from "@calendly-worker/core/store/bookings";

/** What Calendly's API says goes the way of what Calendly delivers. */
export function askedDelivery(body: string, nowMs: number): Delivery {
  const { identity } = readDelivery(Buffer.from(body));
  return { identity, body, receivedAt: new Date(nowMs).toISOString(), origin: "reconcile" };
}
