/**
 * Calendly names things by full URIs whose last part is an opaque id: lower-case UUIDs today, 16 upper-case
 * alphanumerics on old records. The host is not looked at, so that the simulator's references read alike.
 */
const ID = "[A-Za-z0-9_-]{1,64}";
const INVITEE = new RegExp(`^https?://[^/]+/scheduled_events/(${ID})/invitees/(${ID})$`);
const RESOURCE = new RegExp(`^https?://[^/]+/(?:[a-z_]+)/(${ID})$`);

export interface InviteeReference {
  readonly eventId: string;
  readonly inviteeId: string;
}

export function isInviteeUri(uri: string): boolean {
  return INVITEE.test(uri);
}

export function isResourceUri(uri: string): boolean {
  return RESOURCE.test(uri);
}

/** Ids of `…/scheduled_events/<event>/invitees/<invitee>`. Throws a TypeError for anything else. */
export function parseInviteeUri(uri: string): InviteeReference {
  const [, eventId, inviteeId] = INVITEE.exec(uri) ?? [];
  if (eventId === undefined || inviteeId === undefined) {
    throw new TypeError("expected an invitee's URI, …/scheduled_events/<id>/invitees/<id>");
  }
  return { eventId, inviteeId };
}

/** Id of `…/<collection>/<id>`. Throws a TypeError for anything else. */
export function parseResourceUri(uri: string): string {
  const [, id] = RESOURCE.exec(uri) ?? [];
  if (id === undefined) throw new TypeError("expected a resource's URI, …/<collection>/<id>");
  return id;
}
