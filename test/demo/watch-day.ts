import type { OutcomeEvent } from "@calendly-worker/core/outcomes/outcome-event";
import type { SimulatorClient } from "../simulator/control-client.ts";
import type { OutcomeLog } from "../support/stack.ts";
import { until } from "../support/until.ts";
import { playDay } from "./day.ts";
import { sayDelivery, sayOutcome, sayOutcomeTable, sayTitle } from "./print.ts";

/** What the day is played on, wherever it runs. */
export interface Played {
  readonly simulator: SimulatorClient;
  readonly webhookUrl: string;
  readonly outcomes: OutcomeLog;
  /** Whether the worker is done with so many deliveries, all that were accepted. */
  isWorkedOff(accepted: number): boolean | Promise<boolean>;
}

/** Plays and shows the day; gives what did not go as it must. Ends early, without a word, when it is told to stop. */
export async function watchDay(played: Played, stop: AbortSignal): Promise<string[]> {
  const problems: string[] = [];
  const expected: string[] = [];
  let accepted = 0;
  let shown: readonly OutcomeEvent[] = [];

  for await (const { title, deliveries, expectedAnswers, expectedOutcomes } of playDay(played)) {
    if (stop.aborted) return problems;
    sayTitle(title);
    for (const delivery of deliveries) sayDelivery(delivery);
    const answers = deliveries.map(({ answer }) => answer);
    if (answers.join() !== expectedAnswers.join())
      problems.push(`  ${title}: answered ${answers.join()}, not ${expectedAnswers.join()}`);
    accepted += answers.filter((answer) => answer.endsWith("accepted")).length;
    expected.push(...expectedOutcomes);
    await played.outcomes
      .untilThere(expectedOutcomes, 10_000)
      .catch((error: Error) => problems.push(`  ${title}: ${error.message}`));
    const events = await played.outcomes.all();
    for (const event of events.slice(shown.length)) sayOutcome(event);
    shown = events;
  }

  // Only when every job has ended can it be said that nothing else came out.
  await until("every accepted delivery is worked off", () => played.isWorkedOff(accepted));
  shown = await played.outcomes.all();
  sayOutcomeTable(shown);
  const ids = shown.map(({ id }) => id);
  if (ids.join() !== expected.join())
    problems.push(`  outcomes ${ids.join(", ")}`, `  instead of ${expected.join(", ")}`);
  return problems;
}
