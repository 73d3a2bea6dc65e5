/** What sameness looks at: outcomes of the fold and events of the stream alike. */
interface Told {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly data: object;
}

const CANONICAL: readonly string[] = ["booking.confirmed", "booking.rescheduled", "booking.canceled"];

/** Whether an outcome belongs to the log that does not depend on the order of facts. */
export function isCanonical({ type }: Told): boolean {
  return CANONICAL.includes(type);
}

/** An outcome without what is as known when it was told (invariant 4 in docs/decisions/0005). */
export function comparable({ id, type, subject, time, data }: Told): object {
  return { id, type, subject, time, data: withoutAsKnown(data) };
}

function withoutAsKnown(data: object): unknown {
  return JSON.parse(JSON.stringify(data), (key, value) =>
    ["origin", "location", "guests", "payment", "noShow", "routingForm"].includes(key) ||
    (key === "type" && typeof value === "object")
      ? undefined
      : value,
  );
}

/** What the registers of a booking say in the end: who is a no-show now, and what has been updated. */
export function lastState(outcomes: readonly Told[]): object {
  const noShows = new Map<string, string>();
  for (const { id, type } of outcomes) {
    const [inviteeId = ""] = id.split(".");
    if (type === "booking.no_show") noShows.set(inviteeId, id.slice(id.indexOf(".no_show.") + ".no_show.".length));
    if (type === "booking.no_show_cleared") noShows.delete(inviteeId);
  }
  return Object.fromEntries(noShows);
}
