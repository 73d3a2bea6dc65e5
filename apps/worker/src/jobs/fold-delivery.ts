import type { JobHandler } from "@calendly-worker/core/queues/consumer";
import type { deliveries } from "@calendly-worker/core/queues/contracts";
import type { Fold } from "../fold.ts";

/** Takes up what Calendly has delivered. */
export function foldDelivery(fold: Fold): JobHandler<typeof deliveries> {
  return (delivery, context) => fold.delivery(delivery, context);
}
