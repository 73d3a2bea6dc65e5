import type { CalendlyClient, CurrentUser } from "./client.ts";
import { CalendlyError } from "./errors.ts";
import type { ApiToken, Priority } from "./gate.ts";

/** Asked for to see whether a token may ask at all: nobody is called so, and "not found" is said only to who may look. */
const NOBODY = "https://api.calendly.com/event_types/00000000-0000-4000-8000-000000000000";

/** The read scopes that a token lacks, tried with one cheap read each, side by side. `now` in ms. */
export async function lackingScopes(
  client: Pick<CalendlyClient, "eventType" | "availableTimes" | "scheduledEvents">,
  {
    token,
    user,
    priority,
    now,
  }: { readonly token: ApiToken; readonly user: CurrentUser; readonly priority: Priority; readonly now: number },
): Promise<string[]> {
  const options = { priority, token } as const;
  const soon = now + 3_600_000;
  const range = { start: new Date(soon).toISOString(), end: new Date(soon + 3_600_000).toISOString() };
  const minStart = "2099-01-01T00:00:00Z";
  const reads = [
    client.eventType(NOBODY, options),
    client.availableTimes(NOBODY, range, options),
    client.scheduledEvents({ organization: user.current_organization, minStart }, options).next(),
  ];
  const lacking = await Promise.all(
    reads.map((read) =>
      read.then(
        () => [],
        (error: unknown) => {
          if (!(error instanceof CalendlyError)) throw error;
          return error.details.requiredScopes ?? [];
        },
      ),
    ),
  );
  return [...new Set(lacking.flat())];
}
