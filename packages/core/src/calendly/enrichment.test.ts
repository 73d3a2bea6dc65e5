import { expect, test } from "@jest/globals";
import type { TakenTime } from "../bookings/conflicts.ts";
import { createEnrichment } from "./enrichment.ts";

const NOW = Date.parse("2026-11-25T12:00:00Z");
const TAKEN: TakenTime = {
  bookingId: "b1",
  version: 1,
  eventUri: "https://api.calendly.com/scheduled_events/E1",
  inviteeUri: "https://api.calendly.com/scheduled_events/E1/invitees/b1",
  eventType: "https://api.calendly.com/event_types/T1",
  since: "2026-11-25T11:00:00Z",
  start: "2026-11-27T12:00:00Z",
  end: "2026-11-27T12:30:00Z",
  busy: {},
};

test("a storm of conflicts does not wait for a Calendly that takes its time: few ask, the others go without", async () => {
  const answers: ((times: []) => void)[] = [];
  const { alternatives } = createEnrichment({
    client: {
      availableTimes: () => new Promise((resolve) => answers.push(resolve)),
      eventType: () => Promise.reject(new Error("is not asked for")),
    },
    secondary: undefined,
    random: () => 1,
    now: () => NOW,
  });
  const asking = [alternatives(TAKEN), alternatives(TAKEN), alternatives(TAKEN)];
  await expect(alternatives(TAKEN)).rejects.toThrow("Bulkhead");
  expect(answers).toHaveLength(3);
  for (const answer of answers.splice(0)) answer([]);
  await expect(Promise.all(asking)).resolves.toEqual([[], [], []]);

  const next = alternatives(TAKEN);
  await Promise.resolve();
  for (const answer of answers) answer([]);
  await expect(next).resolves.toEqual([]);
});
