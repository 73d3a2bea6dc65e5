import { fieldsOf } from "../redis/fields.ts";
import type { OutcomeEvent } from "./outcome-event.ts";

export interface ReadOutcome {
  /** The entry's id in its stream: read on after it. */
  readonly streamId: string;
  readonly event: OutcomeEvent;
}

/** An entry as Redis gives it: its id, and names and values in turn. */
export function parseEntry([streamId, fields]: readonly [string, readonly string[]]): ReadOutcome {
  const event = fieldsOf(fields).get("event");
  if (event === undefined) throw new TypeError(`the outcome ${streamId} has no field "event"`);
  return { streamId, event: JSON.parse(event) as OutcomeEvent };
}
