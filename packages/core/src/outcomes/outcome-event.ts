import { z } from "zod";
import { outcomeData } from "../bookings/outcome-data.ts";
import type { Outcome } from "../bookings/outcomes.ts";

/** Together with `id` it is unique, and the same after a rebuild from Calendly. */
const SOURCE = "/calendly-worker/bookings";

/** A CloudEvents 1.0 event in JSON format (https://github.com/cloudevents/spec), as internal services read it. */
export const outcomeEvent = z.discriminatedUnion("type", [
  eventOf("booking.confirmed"),
  eventOf("booking.rescheduled"),
  eventOf("booking.canceled"),
  eventOf("booking.no_show"),
  eventOf("booking.no_show_cleared"),
  eventOf("booking.updated"),
  eventOf("booking.conflict_detected"),
  eventOf("booking.conflict_resolved"),
  eventOf("booking.erased"),
]);

export type OutcomeEvent = z.output<typeof outcomeEvent>;

export function toOutcomeEvent(outcome: Outcome): OutcomeEvent {
  const { id, type, subject, time, data } = outcome;
  return {
    specversion: "1.0",
    id,
    source: SOURCE,
    type,
    subject,
    time,
    datacontenttype: "application/json",
    data,
  } as OutcomeEvent;
}

/** For consumers that are not written in TypeScript; docs/outcome.schema.json is made from it. */
export function outcomeJsonSchema(): object {
  return z.toJSONSchema(outcomeEvent, { target: "draft-2020-12" });
}

function eventOf<const Type extends keyof typeof outcomeData>(type: Type) {
  return z.strictObject({
    specversion: z.literal("1.0"),
    id: z.string().describe("derived from Calendly's own ids: one that came before is the same outcome"),
    source: z.literal(SOURCE),
    type: z.literal(type),
    subject: z.string().describe("the booking's id; of a conflict, the smaller one"),
    time: z.string().describe("when it happened at Calendly: UTC, ISO 8601"),
    datacontenttype: z.literal("application/json"),
    data: outcomeData[type],
  });
}
