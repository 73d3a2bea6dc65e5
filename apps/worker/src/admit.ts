import type { InviteeFact } from "@calendly-worker/core/bookings/facts";
import { isPastRetention } from "@calendly-worker/core/bookings/retention";
import { isInScope, type Scope } from "@calendly-worker/core/bookings/scope";
import { type DeliveredFact, readBody } from "@calendly-worker/core/calendly/deliveries";
import { ImpossibleJobError } from "@calendly-worker/core/queues/errors";
import type { BookingStore, Delivery } from "@calendly-worker/core/store/bookings";

/** Whether a delivery's fact is taken up, and the fact, without links to whoever was erased. */
export type Admission =
  | { readonly kind: "admitted"; readonly fact: DeliveredFact }
  | { readonly kind: "dropped"; readonly why: "erased" | "out_of_scope" | "past_retention" };

export type Admit = (delivery: Delivery) => Promise<Admission>;

export function createAdmission(ports: {
  readonly bookings: Pick<BookingStore, "erasedAt" | "markErased">;
  readonly scope: Scope;
  readonly retentionDays: number;
  readonly now: () => number;
}): Admit {
  const { bookings, scope, retentionDays, now } = ports;

  async function admit(delivery: Delivery): Promise<Admission> {
    const fact = factOf(delivery);
    if (!isInScope(fact, scope)) return { kind: "dropped", why: "out_of_scope" };
    if (fact.kind !== "invitee") return { kind: "admitted", fact };
    // What a delivery tells is nowhere else: a person who replays it late decides that it counts.
    if (delivery.origin === "reconcile" && isPastRetention(fact.event.fields.end, retentionDays, now())) {
      return { kind: "dropped", why: "past_retention" };
    }
    return await admitUnlessErased(fact);
  }

  /** Who was erased takes along whoever was in the same chain by then; who came later begins a booking of its own. */
  async function admitUnlessErased(fact: InviteeFact): Promise<Admission> {
    const { inviteeId, oldInvitee, newInvitee, ...rest } = fact;
    const [itself, before, after] = await Promise.all(
      [inviteeId, oldInvitee?.id, newInvitee?.id].map((id) => (id === undefined ? undefined : bookings.erasedAt(id))),
    );
    if (itself !== undefined) return { kind: "dropped", why: "erased" };
    const createdAt = Date.parse(fact.invitee.fields.createdAt);
    if ((before !== undefined && createdAt <= before) || (after !== undefined && createdAt <= after)) {
      await bookings.markErased(inviteeId);
      return { kind: "dropped", why: "erased" };
    }
    const links = {
      ...(oldInvitee && before === undefined ? { oldInvitee } : {}),
      ...(newInvitee && after === undefined ? { newInvitee } : {}),
    };
    return { kind: "admitted", fact: { ...rest, inviteeId, ...links } };
  }

  return admit;
}

/** What ingest has read is read again: the queue is trusted no more than the network. */
function factOf(delivery: Delivery): DeliveredFact {
  const reading = readBody(delivery.body);
  if (reading.kind === "fact") return reading.fact;
  const why = reading.kind === "unreadable" ? [reading.reason, ...reading.problems] : [reading.event];
  throw new ImpossibleJobError(`the delivery is not a fact that is handled: ${reading.kind}, ${why.join("; ")}`);
}
