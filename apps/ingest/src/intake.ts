import type { DeliveredFact } from "@calendly-worker/core/calendly/deliveries";
import { deliveries, lateDeliveries } from "@calendly-worker/core/queues/contracts";
import { createProducer } from "@calendly-worker/core/queues/producer";
import type { Redis } from "@calendly-worker/core/redis/connect";
import { RedisUnavailableError, withinDeadline } from "@calendly-worker/core/redis/deadline";
import type { Shard, Shards } from "@calendly-worker/core/redis/keys";
import type { Replicated } from "@calendly-worker/core/redis/replication";
import { createLateMemory } from "@calendly-worker/core/store/late-deliveries";
import { createNotices, type Notice } from "@calendly-worker/core/store/notices";
import { createQuarantine } from "@calendly-worker/core/store/quarantine";
import type { TraceOfJob } from "@calendly-worker/core/telemetry/trace";
import type { Ports } from "./receive.ts";

/** Where deliveries go. Until it is open, and while Redis is away, everything in it rejects. */
export interface Intake extends Pick<Ports, "enqueue" | "quarantine" | "hint"> {
  /** To be called once Redis is ready and found safe. */
  open(): void;
  isOpen(): boolean;
}

export function createIntake(ports: {
  readonly redis: Redis;
  readonly shards: Shards;
  readonly replicated: Replicated;
  readonly deduplicationMs: number;
  /** A delivery must be answered within two seconds, whatever Redis does. */
  readonly deadlineMs: number;
  readonly retentionDays: number;
  readonly now: () => Date;
  readonly traceOfJob: TraceOfJob;
}): Intake {
  const { shards, replicated, deadlineMs, now } = ports;
  let stores: ReturnType<typeof openStores> | undefined;

  function openStores() {
    return {
      deliveries: createProducer({ ...ports, contract: deliveries }),
      late: createProducer({ ...ports, contract: lateDeliveries }),
      lateMemory: createLateMemory({ ...ports, memoryMs: ports.deduplicationMs, now: () => now().getTime() }),
      notices: createNotices(ports.redis, () => now().getTime()),
      quarantine: createQuarantine({ ...ports, now: () => now().getTime() }),
    };
  }

  function opened() {
    if (stores === undefined) throw new RedisUnavailableError("Redis has not been reached since the start");
    return stores;
  }

  /** Nothing is acknowledged that a fail-over could lose where that is not wanted. */
  async function kept<T>(shard: Shard, write: () => Promise<T>): Promise<T> {
    return await withinDeadline(deadlineMs, replicated(shard, write));
  }

  return {
    open() {
      stores ??= openStores();
    },

    async enqueue({ identity, job, fact }, { body, signedWith, generation }) {
      const shard = shards.of(subjectOf(fact));
      const { deliveries } = opened();
      const data = {
        identity,
        body: Buffer.from(body).toString("utf8"),
        receivedAt: now().toISOString(),
        signedWith,
        origin: "webhook",
        ...(generation === undefined ? {} : { generation }),
      } as const;
      return await kept(shard, () => deliveries.enqueue(shard, job, data));
    },

    async quarantine({ identity, reason, problems }, { body, signedWith }) {
      const entry = { id: identity, reason, problems, receivedAt: now().toISOString(), signedWith, body };
      const { quarantine } = opened();
      await kept(shards.first, () => quarantine.keep(entry));
    },

    async hint({ identity, invitee: { fields }, inviteeId }, signedAt, { signedWith, generation = "" }) {
      const { late, lateMemory, notices } = opened();
      const signature = `${signedAt}/${signedWith}/${generation}`;
      const shard = shards.of(inviteeId);
      const data = { identity, inviteeUri: fields.uri, signedAt, receivedAt: now().toISOString() };
      async function keep() {
        const { isConfirmed, isRepeated } = await lateMemory.note(identity, signature);
        // Nobody's delivery fails for a notice.
        if (isRepeated) await notices.addOnceADay(FROZEN).catch(() => {});
        if (isConfirmed) return "confirmed";
        await late.enqueue(shard, "invitee.late", data);
        return "kept";
      }
      return await kept(shard, keep);
    },

    isOpen: () => stores !== undefined,
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
