import type { Fact } from "./facts.ts";

/** Which event types a deployment handles, by URI or id. Several deployments can share one account that way. */
export interface Scope {
  readonly only?: readonly string[];
  readonly except?: readonly string[];
}

/** Whether a fact is about an event type that is handled. One that names no event type is. */
export function isInScope(fact: Fact, { only, except }: Scope): boolean {
  const type = eventTypeOf(fact);
  if (type === undefined) return true;
  const isListed = (list: readonly string[]) => list.some((name) => name === type || type.endsWith(`/${name}`));
  return (only === undefined || isListed(only)) && !(except !== undefined && isListed(except));
}

function eventTypeOf(fact: Fact): string | undefined {
  switch (fact.kind) {
    case "invitee":
      return fact.event.fields.eventType;
    case "routing_form":
      return fact.form.eventType;
    case "event_type":
      return fact.eventType;
    case "gone":
      return undefined;
  }
}
