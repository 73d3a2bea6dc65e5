import type { Scope } from "../bookings/scope.ts";

/** The event types that the configuration names. */
export function scopeOf(config: {
  readonly CALENDLY_EVENT_TYPES?: readonly string[] | undefined;
  readonly CALENDLY_EVENT_TYPES_EXCLUDE?: readonly string[] | undefined;
}): Scope {
  const { CALENDLY_EVENT_TYPES: only, CALENDLY_EVENT_TYPES_EXCLUDE: except } = config;
  return { ...(only && { only }), ...(except && { except }) };
}
