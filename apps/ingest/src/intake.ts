import type { DeliveredFact } from "@calendly-worker/core/calendly/deliveries";
import { deliveries, lateDeliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { RedisUnavailableError, withinDeadline } from "@calendly-worker/core/redis/deadline";
import type { Shards } from "@calendly-worker/core/redis/keys";
import { createLateMemory } from "@calendly-worker/core/store/late-deliveries";
import { createNotices, type Notice } from "@calendly-worker/core/store/notices";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { Ports } from "./receive.ts";

/** Where deliveries go. Until it is open, and while Redis is away, everything in it rejects. */
export interface Intake extends Pick<Ports, "enqueue" | "quarantine" | "hint"> {
  /** To be called once Redis is ready and found safe. */
  open(): void;
  isOpen(): boolean;
  close(): Promise<void>;
}

export function createIntake(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly deduplicationMs: number;
  /** A delivery must be answered within two seconds, whatever Redis does. */
  readonly deadlineMs: number;
  readonly retentionDays: number;
  readonly now: () => Date;
  readonly log: Logger;
}): Intake {
  const { shards, deadlineMs, now } = ports;
  let stores: ReturnType<typeof openStores> | undefined;

  function openStores() {
    return {
      deliveries: createProducer({ ...ports, contract: deliveries }),
      late: createProducer({ ...ports, contract: lateDeliveries }),
      lateMemory: createLateMemory({ ...ports, memoryMs: ports.deduplicationMs, now: () => now().getTime() }),
      notices: createNotices(ports.redis, () => now().getTime()),
      quarantine: createQuarantine(ports),
    };
  }

  function opened() {
    if (stores === undefined) throw new RedisUnavailableError("Redis has not been reached since the start");
    return stores;
  }

  return {
    open() {
      stores ??= openStores();
    },

    async enqueue({ identity, job, fact }, { body, signedWith, generation }) {
      return await opened().deliveries.enqueue(shards.of(subjectOf(fact)), job, {
        identity,
        body: Buffer.from(body).toString("utf8"),
        receivedAt: now().toISOString(),
        signedWith,
        origin: "webhook",
        ...(generation === undefined ? {} : { generation }),
      });
    },

    async quarantine({ identity, reason, problems }, { body, signedWith }) {
      const entry = { id: identity, reason, problems, receivedAt: now().toISOString(), signedWith, body };
      await withinDeadline(deadlineMs, opened().quarantine.keep(entry));
    },

    async hint({ identity, invitee: { fields }, inviteeId }, signedAt, { signedWith, generation = "" }) {
      const { late, lateMemory, notices } = opened();
      const signature = `${signedAt}/${signedWith}/${generation}`;
      const data = { identity, inviteeUri: fields.uri, signedAt, receivedAt: now().toISOString() };
      async function keep() {
        const { isConfirmed, isRepeated } = await lateMemory.note(identity, signature);
        // Nobody's delivery fails for a notice.
        if (isRepeated) await notices.addOnceADay(FROZEN).catch(() => {});
        if (isConfirmed) return "confirmed";
        await late.enqueue(shards.of(inviteeId), "invitee.late", data);
        return "kept";
      }
      return await withinDeadline(deadlineMs, keep());
    },

    isOpen: () => stores !== undefined,

    async close() {
      await Promise.all([stores?.deliveries.close(), stores?.late.close()]);
    },
  };
}

const FROZEN: Notice = {
  type: "deliveries.signature_time_frozen",
  subject: "late deliveries",
  message:
    "Calendly repeats late deliveries with the signature's time of the first try: refused, they fail until Calendly disables " +
    "the subscription. Set CALENDLY_WEBHOOK_LATE_DELIVERIES=defer.",
};

/** A delivery goes by the id of what it is about. */
function subjectOf(fact: DeliveredFact): string {
  switch (fact.kind) {
    case "invitee":
      return fact.inviteeId;
    case "routing_form":
      return fact.formId;
    case "event_type":
      return fact.eventTypeId;
  }
}
