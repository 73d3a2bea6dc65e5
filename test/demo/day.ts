import { canceledBody, createdBody, newInvitee } from "../support/bookings.ts";
import { deliver, signatureHeader } from "../support/deliveries.ts";
import { SIGNING_KEY } from "./installation.ts";
import type { Played } from "./watch-day.ts";

/** A delivery as it is shown: what it was, whom it was about, and what it was answered. */
export interface Delivery {
  readonly event: string;
  readonly invitee: string;
  readonly answer: string;
}

export interface Scene {
  readonly title: string;
  readonly deliveries: readonly Delivery[];
  /** The answers that must have been given, in order. */
  readonly expectedAnswers: readonly string[];
  /** Ids of the outcomes that must follow, in order. */
  readonly expectedOutcomes: readonly string[];
}

const IN_DAYS = (days: number, hour: number) => {
  const day = new Date(Date.now() + days * 24 * 3_600_000).toISOString().slice(0, 10);
  return `${day}T${String(hour).padStart(2, "0")}:00:00Z`;
};
const person = (name: string, timezone: string) => ({
  name,
  email: `${name.toLowerCase().replace(" ", ".")}@example.org`,
  timezone,
});
const HOUR = 3_600;

/** Plays the day, scene by scene; each is over when Calendly has its answers. */
export async function* playDay({
  simulator,
  webhookUrl,
}: Pick<Played, "simulator" | "webhookUrl">): AsyncGenerator<Scene> {
  let seen = 0;
  async function scene(title: string, expected: { answers: string[]; outcomes: string[] }): Promise<Scene> {
    await simulator.settled();
    const attempts = await simulator.attempts(seen);
    seen += attempts.length;
    const deliveries = attempts.map(({ event, about, status, body, error }) => ({
      event,
      invitee: about.split("/").at(-1) ?? "",
      answer: error ?? answerOf(status ?? 0, body),
    }));
    return { title, deliveries, expectedAnswers: expected.answers, expectedOutcomes: expected.outcomes };
  }

  const priya = await simulator.book({
    eventType: "product-demo",
    start: IN_DAYS(10, 19),
    ...person("Priya Nair", "America/New_York"),
  });
  yield scene("Priya books a product demo", { answers: ["200 accepted"], outcomes: [`${priya.invitee}.confirmed`] });

  const hana = await simulator.book({
    eventType: "onboarding",
    start: IN_DAYS(9, 1),
    ...person("Hana Sato", "Asia/Tokyo"),
  });
  yield scene("Hana books an onboarding call", { answers: ["200 accepted"], outcomes: [`${hana.invitee}.confirmed`] });

  await simulator.setFaults({ swapNext: true });
  const moved = await simulator.reschedule({ invitee: hana.invitee, start: IN_DAYS(9, 6) });
  yield scene("Hana moves it; the new half arrives before the old one", {
    answers: ["200 accepted", "200 accepted"],
    outcomes: [`${moved.invitee}.rescheduled`],
  });

  const jonas = await simulator.book({
    eventType: "intro",
    start: IN_DAYS(8, 15),
    ...person("Jonas Weber", "Europe/Berlin"),
  });
  yield scene("Jonas books an intro", { answers: ["200 accepted"], outcomes: [`${jonas.invitee}.confirmed`] });

  await simulator.cancel({ invitee: jonas.invitee, by: "host", reason: "Ill" });
  yield scene("The host cancels it", { answers: ["200 accepted"], outcomes: [`${jonas.invitee}.canceled`] });

  await simulator.setFaults({ duplicate: 2 });
  const ana = await simulator.book({
    eventType: "webinar",
    start: IN_DAYS(16, 17),
    ...person("Ana Costa", "Europe/Lisbon"),
  });
  yield scene("Ana joins a webinar; Calendly delivers it twice", {
    answers: ["200 accepted", "200 duplicate"],
    outcomes: [`${ana.invitee}.confirmed`],
  });
  await simulator.setFaults({ duplicate: 1 });

  const victim = { id: priya.invitee, uri: priya.uri };
  const forged = canceledBody(victim);
  yield await byHand("Somebody forges Priya's cancellation", webhookUrl, "invitee.canceled", victim.id, forged, {
    signature: signatureHeader(forged, "a-guessed-key"),
    expected: "401 signature_mismatch",
  });

  const late = newInvitee();
  const stale = createdBody(late);
  yield await byHand("A genuine delivery comes an hour late", webhookUrl, "invitee.created", late.id, stale, {
    signature: signatureHeader(stale, SIGNING_KEY, Math.floor(Date.now() / 1_000) - HOUR),
    expected: "401 timestamp_outside_window",
  });
}

/** A delivery that Calendly would not send like this. */
async function byHand(
  title: string,
  url: string,
  event: string,
  invitee: string,
  body: string,
  { signature, expected }: { readonly signature: string; readonly expected: string },
): Promise<Scene> {
  const answer = await deliver(url, body, { signature });
  const deliveries = [{ event, invitee, answer: answerOf(answer.status, answer.body) }];
  return { title, deliveries, expectedAnswers: [expected], expectedOutcomes: [] };
}

export function answerOf(status: number, body: unknown): string {
  const { status: word, error } = (typeof body === "object" && body !== null ? body : {}) as {
    status?: string;
    error?: { code: string };
  };
  return `${status} ${word ?? error?.code ?? ""}`.trim();
}
