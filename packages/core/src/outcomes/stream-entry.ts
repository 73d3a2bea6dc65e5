import type { Outcome } from "../bookings/outcomes.ts";
import { toOutcomeEvent } from "./outcome-event.ts";

/** Fields of an entry in the outcome stream. `event` is an OutcomeEvent as JSON; the others repeat what one filters by. */
export interface StreamEntry {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly event: string;
}

export function toStreamEntry(outcome: Outcome): StreamEntry {
  const { id, type, subject } = outcome;
  return { id, type, subject, event: JSON.stringify(toOutcomeEvent(outcome)) };
}
