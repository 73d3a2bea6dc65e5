import { emptyBooking, mergeFact } from "@calendly-worker/core/bookings/booking";
import { publish } from "@calendly-worker/core/bookings/outcomes";
import { readBody } from "@calendly-worker/core/calendly/deliveries";
import type { JobHandler } from "@calendly-worker/core/queues/consumer";
import type { deliveries } from "@calendly-worker/core/queues/contracts";
import type { Shards } from "@calendly-worker/core/redis/keys";
import type { ReplicatedElsewhere } from "@calendly-worker/core/redis/replication";
import type { Delivery } from "@calendly-worker/core/store/bookings";
import type { Quarantine } from "@calendly-worker/core/store/quarantine";
import type { TestDeliveries } from "@calendly-worker/core/store/test-deliveries";
import type { Fold } from "../fold.ts";

/** Takes up what Calendly has delivered. What was sent as a test goes the same way up to its outcome, and no further. */
export function foldDelivery(ports: {
  readonly shards: Shards;
  readonly replicatedElsewhere: ReplicatedElsewhere;
  readonly fold: Fold;
  readonly quarantine: Pick<Quarantine, "drop">;
  readonly tests: Pick<TestDeliveries, "keep">;
  readonly referenceField: string;
  readonly now: () => number;
}): JobHandler<typeof deliveries> {
  const { shards, replicatedElsewhere, fold, quarantine, tests, referenceField, now } = ports;

  return async (delivery, context) => {
    const begunAt = now();
    // From here on the job alone holds it. Dropped behind the fold, it would be gone where it was quarantined once more.
    if (delivery.quarantined !== undefined) {
      await replicatedElsewhere()([context.shard], [shards.first]);
      await quarantine.drop(delivery.quarantined);
    }
    const test = testIn(delivery);
    if (test === undefined) return await fold.delivery(delivery, context);
    const outcome = outcomeOf(delivery);
    const receivedAt = Date.parse(delivery.receivedAt);
    const hops = { outcomeId: outcome?.id ?? null, outcomeType: outcome?.type ?? null };
    await tests.keep(test, { receivedAt, begunAt, endedAt: now(), ...hops });
    return "tested";
  };

  /** The first outcome that would follow, were there nothing else. */
  function outcomeOf({ body, origin }: Delivery) {
    const reading = readBody(body);
    if (reading.kind !== "fact" || reading.fact.kind !== "invitee") return undefined;
    const { oldInvitee: _, newInvitee: __, ...fact } = reading.fact;
    const merge = mergeFact(emptyBooking(fact.inviteeId), fact);
    if (merge.kind === "malformed") return undefined;
    const telling = { origin, referenceField, publishFrom: 0 };
    return publish(merge.booking, telling).outcomes[0];
  }
}

/** The signed body says it, and the identity follows from that. */
function testIn({ identity, body }: Delivery): string | undefined {
  if (!identity.startsWith("test/")) return undefined;
  const reading = readBody(body);
  return reading.kind === "fact" ? reading.test : undefined;
}
