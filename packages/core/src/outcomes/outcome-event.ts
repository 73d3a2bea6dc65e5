import { z } from "zod";
import { outcomeData } from "../bookings/outcome-data.ts";
import type { Outcome } from "../bookings/outcomes.ts";

/** Together with `id` it is unique, and the same after a rebuild from Calendly. */
const SOURCE = "/calendly-worker/bookings";

/**
 * Names the version of what outcomes carry. Within a version there are only additions: new types, new fields. A change
 * that could break a reader gets a new number, and both are told for a while.
 */
export const DATA_SCHEMA = "urn:calendly-worker:outcome:1";

/** A CloudEvents 1.0 event in JSON format (https://github.com/cloudevents/spec), as internal services read it. */
export const outcomeEvent = z
  .discriminatedUnion("type", [
    eventOf("booking.confirmed"),
    eventOf("booking.rescheduled"),
    eventOf("booking.canceled"),
    eventOf("booking.no_show"),
    eventOf("booking.no_show_cleared"),
    eventOf("booking.updated"),
    eventOf("booking.conflict_detected"),
    eventOf("booking.conflict_resolved"),
    eventOf("booking.erased"),
    eventOf("booking.expectation_expired"),
  ])
  .meta({ id: "Outcome" });

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
    dataschema: DATA_SCHEMA,
    data,
  } as OutcomeEvent;
}

/** For consumers that are not written in TypeScript; docs/outcome.schema.json is made from it. */
export function outcomeJsonSchema(): object {
  return z.toJSONSchema(outcomeEvent, {
    target: "draft-2020-12",
    // Fields may come to it: whoever validates with this schema must let them pass.
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
}

function eventOf<const Type extends keyof typeof outcomeData>(type: Type) {
  return z.strictObject({
    specversion: z.literal("1.0"),
    id: z.string().describe("derived from Calendly's own ids: one that came before is the same outcome"),
    source: z.literal(SOURCE),
    type: z.literal(type),
    subject: z.string().describe("the booking's id; of a conflict, the smaller one; of an expectation, its reference"),
    time: z.string().describe("when it happened at Calendly: UTC, ISO 8601"),
    datacontenttype: z.literal("application/json"),
    dataschema: z.literal(DATA_SCHEMA).describe("the version of what `data` holds"),
    data: outcomeData[type],
  });
}
