import type { Location } from "./facts.ts";

/** Locations whose link Calendly makes after the booking (https://developer.calendly.com, scheduled event locations). */
const CONFERENCES: readonly unknown[] = [
  "google_conference",
  "zoom",
  "gotomeeting",
  "microsoft_teams_conference",
  "webex_conference",
];

/** Whether a location is a conference whose link is not there yet. */
export function awaitsLink(location: Location | undefined): boolean {
  return location !== undefined && CONFERENCES.includes(location["type"]) && !isPushed(location);
}

/** Whether a value is a location whose conference link is there. */
export function isPushed(location: Location | null | undefined): boolean {
  return typeof location === "object" && location?.["status"] === "pushed";
}
