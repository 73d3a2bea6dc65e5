import type { Booking } from "./booking.ts";
import { canonicalLog, type Step } from "./canonical-log.ts";
import { statusOf } from "./current.ts";
import { isHistory, isNews, wokenSteps } from "./history.ts";
import {
  type BookingData,
  bookingData,
  cancellationData,
  type DataOfType,
  type EventTypeDetails,
  type OutcomeType,
  previousData,
  type Telling,
  withEventType,
} from "./outcome-data.ts";
import { promisesOf, type RegisterStep, registerSteps } from "./registers.ts";

/** What internal services are told. `id` is derived from the invitee, so that a rebuild gives the same ones. */
export type Outcome = { readonly [Type in OutcomeType]: OutcomeOf<Type> }[OutcomeType];

export interface OutcomeOf<Type extends OutcomeType> {
  readonly id: string;
  readonly type: Type;
  /** The booking's id. */
  readonly subject: string;
  /** The fact's own time, ISO 8601 in UTC. */
  readonly time: string;
  readonly data: DataOfType<Type>;
}

/**
 * The outcomes that follow from what is known and are not published yet, in order, and the booking that remembers
 * them. What is history is remembered as published, and told to nobody. Nothing published is ever retracted.
 */
export function publish(
  booking: Booking,
  telling: Telling,
): { readonly booking: Booking; readonly outcomes: readonly Outcome[] } {
  const { publishFrom } = telling;
  const woken = wokenSteps(booking, publishFrom);
  const fresh = unpublishedSteps(booking);
  const steps = [...woken, ...fresh.filter((step) => isNews(booking, step, publishFrom))];
  const told: Booking = {
    ...booking,
    published: [...booking.published, ...idsOf(fresh)],
    quiet: without([...booking.quiet, ...idsOf(fresh)], idsOf(steps)),
    owed: [...booking.owed, ...promisesOfAll(booking, steps)],
  };
  const registers = registerSteps(told);
  const news = registers.filter((step) => step.type === "booking.updated" || isNews(told, step, publishFrom));
  const after: Booking = {
    ...told,
    registers: [...told.registers, ...idsOf(registers)],
    quiet: without([...told.quiet, ...idsOf(registers)], idsOf(news)),
    owed: without(told.owed, idsOf(news)),
  };
  return { booking: after, outcomes: outcomesOf(after, steps, news, telling) };
}

/** What is history of a booking, told after all. Nothing where something of it has been told: its consumers know it. */
export function publishHistory(
  booking: Booking,
  telling: Telling,
): { readonly booking: Booking; readonly outcomes: readonly Outcome[] } {
  if (!isHistory(booking)) return { booking, outcomes: [] };
  const steps = canonicalLog(booking).filter(({ id }) => booking.published.includes(id));
  // Of the marks that came and went only the last one can still be told.
  const unsaid: Booking = { ...booking, registers: without(booking.registers, booking.quiet) };
  const registers = registerSteps(unsaid);
  const after = { ...booking, quiet: [], owed: [...booking.owed, ...promisesOfAll(booking, steps)] };
  return { booking: after, outcomes: outcomesOf(after, steps, registers, telling) };
}

/** The same outcomes with what `find` knows of the event types that they tell of; each is asked for once. */
export async function withEventTypes(
  outcomes: readonly Outcome[],
  find: (uri: string) => Promise<EventTypeDetails | undefined>,
): Promise<Outcome[]> {
  const uris = new Set(outcomes.flatMap((outcome) => bookingIn(outcome)?.event.type?.uri ?? []));
  const known = new Map(await Promise.all([...uris].map(async (uri) => [uri, await find(uri)] as const)));
  return outcomes.map((outcome) => {
    const booking = bookingIn(outcome);
    if (booking === undefined) return outcome;
    const data = { ...outcome.data, booking: withEventType(booking, (uri) => known.get(uri)) };
    return { ...outcome, data } as Outcome;
  });
}

function bookingIn({ data }: Outcome): BookingData | undefined {
  return "booking" in data && "event" in data.booking ? data.booking : undefined;
}

function outcomesOf(
  booking: Booking,
  steps: readonly Step[],
  registers: readonly RegisterStep[],
  telling: Telling,
): Outcome[] {
  return [
    ...steps.map((step) => canonicalOutcome(step, booking, booking.published.indexOf(step.id) + 1, telling)),
    ...registers.map((step) => registerOutcome(step, booking, telling)),
  ];
}

function promisesOfAll(booking: Booking, steps: readonly Step[]): string[] {
  const own = steps.filter(({ type }) => type !== "booking.canceled");
  return own.flatMap(({ inviteeId }) => promisesOf(booking, inviteeId));
}

const idsOf = (steps: readonly { readonly id: string }[]) => steps.map(({ id }) => id);
const without = (ids: readonly string[], some: readonly string[]) => ids.filter((id) => !some.includes(id));

/** Where the outcome comes from, as it says itself. */
const sourceOf = ({ origin, historical }: Telling) => ({ origin, ...(historical && { historical }) });

function unpublishedSteps(booking: Booking): Step[] {
  return canonicalLog(booking).filter(({ id }) => !booking.published.includes(id));
}

function canonicalOutcome(step: Step, booking: Booking, sequence: number, telling: Telling): Outcome {
  const { id, type, time, invitee, previous } = step;
  const status = type === "booking.canceled" ? "canceled" : "active";
  const data = { booking: bookingData({ booking, status, sequence, invitee, telling }), ...sourceOf(telling) };
  const subject = booking.id;
  switch (type) {
    case "booking.confirmed":
      return { id, type, subject, time, data };
    case "booking.rescheduled":
      return { id, type, subject, time, data: { ...data, previous: previous ? previousData(previous) : null } };
    case "booking.canceled":
      return { id, type, subject, time, data: { ...data, cancellation: cancellationData(invitee) } };
  }
}

function registerOutcome(step: RegisterStep, booking: Booking, telling: Telling): Outcome {
  const { id, type, time, invitee, changed } = step;
  const status = statusOf(booking);
  const sequence = booking.published.length;
  const data = { booking: bookingData({ booking, status, sequence, invitee, telling }), ...sourceOf(telling) };
  const subject = booking.id;
  if (type !== "booking.updated") return { id, type, subject, time, data };
  if (changed === undefined) throw new TypeError(`the outcome ${id} does not say what changed`);
  return { id, type, subject, time, data: { ...data, changed } };
}
