import { createAccount, type Happening } from "./account.ts";
import type { Catalog } from "./catalog.ts";
import { createRandom } from "./random.ts";
import { createStamp } from "./timestamps.ts";

/** A happening of that name that never happened, or undefined where the account has none of the kind. */
export type SampleData = (event: string) => Happening | undefined;

const SEED = 4;

/** Plays a short story in a copy of the account, which nobody hears of. */
export function createSampleData(ports: { catalog: Catalog; baseUrl: string; now: () => number }): SampleData {
  const { catalog, baseUrl, now } = ports;
  return (event) => {
    const random = createRandom(SEED);
    const account = createAccount({
      catalog: {
        ...catalog,
        eventTypes: catalog.eventTypes.map((type) => ({ ...type, active: true, deletedAt: null })),
      },
      random,
      baseUrl,
      now,
      stamp: createStamp(now, random),
      tell() {},
    });
    account.submitRoutingForm([{ question: "Team size", answer: "51-200" }], "intro");
    const person = { name: "Sam Sample", email: "sam.sample@acme-corp.example" };
    const { id } = account.book({ eventType: "intro", start: "2030-01-15T15:00:00Z", ...person });
    account.markNoShow(id);
    account.clearNoShow(id);
    account.cancel(id);
    account.createEventType({ name: "Sample", slug: "a-sample-of-an-event-type", minutes: 30 });
    account.updateEventType("intro", { active: false });
    account.deleteEventType("intro");
    return account.history().find((happening) => happening.event === event);
  };
}
