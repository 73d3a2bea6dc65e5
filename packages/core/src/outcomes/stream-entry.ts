import type { OutcomeType } from "../bookings/outcome-data.ts";
import type { Outcome } from "../bookings/outcomes.ts";

/** A CloudEvents 1.0 event in JSON format (https://github.com/cloudevents/spec). */
export interface OutcomeEvent {
  readonly specversion: "1.0";
  readonly id: string;
  readonly source: typeof SOURCE;
  readonly type: OutcomeType;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly data: Outcome["data"];
}

/** Fields of an entry in the outcome stream. `event` is an OutcomeEvent as JSON; the others repeat what one filters by. */
export interface StreamEntry {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly event: string;
}

/** Together with `id` it is unique, and the same after a rebuild from Calendly. */
const SOURCE = "/calendly-worker/bookings";

export function toStreamEntry(outcome: Outcome): StreamEntry {
  const { id, type, subject, time, data } = outcome;
  const event: OutcomeEvent = {
    specversion: "1.0",
    id,
    source: SOURCE,
    type,
    subject,
    time,
    datacontenttype: "application/json",
    data,
  };
  return { id, type, subject, event: JSON.stringify(event) };
}
