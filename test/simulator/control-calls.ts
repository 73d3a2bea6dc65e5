import { z } from "zod";
import { faultsChange } from "./faults.ts";
import type { Invitee, ScheduledEvent } from "./meetings.ts";
import type { Simulator } from "./simulator.ts";
import { subscriptionResource } from "./subscriptions.ts";
import { tokenState } from "./tokens.ts";

const answers = z.array(z.strictObject({ question: z.string(), answer: z.string() }));
const invitee = z.string();
const reason = z.string().nullish();
const minutes = z.int().min(1);

/** What can be asked of the simulator over HTTP, each with the shape of its body. */
export const CALLS = {
  "/book": z.strictObject({
    eventType: z.string(),
    start: z.string(),
    name: z.string(),
    email: z.string(),
    timezone: z.string().optional(),
    host: z.string().optional(),
    answers: answers.optional(),
    tracking: z.record(z.string(), z.string().nullable()).optional(),
    routingFormSubmission: z.string().optional(),
    notes: z.string().optional(),
    conferenceLater: z.boolean().optional(),
  }),
  "/cancel": z.strictObject({ invitee, by: z.enum(["invitee", "host"]).optional(), reason }),
  "/reschedule": z.strictObject({ invitee, start: z.string(), reason }),
  "/cancel-event": z.strictObject({ event: z.string(), reason }),
  "/conference": z.strictObject({ event: z.string() }),
  "/forget": z.strictObject({ invitee }),
  "/no-show": z.strictObject({ invitee }),
  "/no-show/clear": z.strictObject({ invitee }),
  "/routing-form": z.strictObject({ answers, eventType: z.string() }),
  "/event-type": z.strictObject({
    eventType: z.string(),
    name: z.string().optional(),
    minutes: minutes.optional(),
    active: z.boolean().optional(),
  }),
  "/event-type/create": z.strictObject({ name: z.string(), slug: z.string(), minutes }),
  "/event-type/delete": z.strictObject({ eventType: z.string() }),
  "/subscribe": z.strictObject({ url: z.url(), signingKey: z.string().min(1) }),
  "/faults": faultsChange,
  "/outcomes": z.strictObject({ url: z.url(), token: z.string().min(1) }),
  "/tokens": z.strictObject({
    token: z.string().min(1),
    state: tokenState.optional(),
    scopes: z.array(z.string()).optional(),
    user: z.string().optional(),
  }),
  "/release": z.strictObject({}),
} as const;

export type Call = keyof typeof CALLS;
export type Input<C extends Call> = z.output<(typeof CALLS)[C]>;
export type Reply<C extends Call> = ReturnType<ReturnType<typeof createActs>[C]>;

/** What a person at the other end needs to go on. */
export interface Booked {
  readonly invitee: string;
  readonly uri: string;
  readonly event: string;
  readonly start: string;
}

/** What each call does in the simulator, and what it answers. */
export function createActs(simulator: Simulator) {
  const { account } = simulator;
  return {
    "/book": (input: Input<"/book">) => shown(account.book(present(input))),
    "/cancel": (input: Input<"/cancel">) => shown(account.cancel(input.invitee, input.by, input.reason ?? null)),
    "/reschedule": (input: Input<"/reschedule">) =>
      shown(account.reschedule(input.invitee, input.start, input.reason ?? null)),
    "/cancel-event": (input: Input<"/cancel-event">) =>
      shownEvent(account.cancelEvent(input.event, input.reason ?? null)),
    "/conference": (input: Input<"/conference">) => shownEvent(account.pushConference(input.event)),
    "/forget": (input: Input<"/forget">) => {
      account.forget(input.invitee);
      return {};
    },
    "/no-show": (input: Input<"/no-show">) => shown(account.markNoShow(input.invitee)),
    "/no-show/clear": (input: Input<"/no-show/clear">) => shown(account.clearNoShow(input.invitee)),
    "/routing-form": (input: Input<"/routing-form">) => ({
      uri: account.submitRoutingForm(input.answers, input.eventType),
    }),
    "/event-type": ({ eventType, ...change }: Input<"/event-type">) => ({
      uri: account.updateEventType(eventType, present(change)).uri,
    }),
    "/event-type/create": (input: Input<"/event-type/create">) => ({ uri: account.createEventType(input).uri }),
    "/event-type/delete": (input: Input<"/event-type/delete">) => ({
      uri: account.deleteEventType(input.eventType).uri,
    }),
    "/subscribe": (input: Input<"/subscribe">) =>
      subscriptionResource(simulator.subscribe(input.url, input.signingKey)),
    "/outcomes": ({ url, token }: Input<"/outcomes">) => {
      simulator.showOutcomesOf({ url, token });
      return {};
    },
    "/faults": (input: Input<"/faults">) => simulator.setFaults(present(input)),
    "/tokens": ({ token, ...change }: Input<"/tokens">) => {
      const { state, scopes, user } = simulator.setToken(token, present(change));
      return { state, scopes, user: user.slug };
    },
    "/release": (_input: Input<"/release">) => {
      simulator.releaseHeld();
      return {};
    },
  };
}

function shown({ id, uri, event }: Invitee): Booked {
  return { invitee: id, uri, event: event.id, start: event.start };
}

function shownEvent({ id, uri, status }: ScheduledEvent) {
  return { event: id, uri, status };
}

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Drops the keys that were not given. */
function present<T extends object>(input: T): Present<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Present<T>;
}
