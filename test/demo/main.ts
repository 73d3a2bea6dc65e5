import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { answerOf } from "./day.ts";
import { type Installation, startInstallation } from "./installation.ts";
import { say, sayDelivery, sayOutcome } from "./print.ts";
import { watchDay } from "./watch-day.ts";

const HELP = `A day at Calendly, played against the real ingest, Redis and worker.

Usage: npm run demo [-- options]

  --once   end when the day is over: exit code 0 if what came out is what must come out, else 1
  --help   this text

Reads no .env file and no CALENDLY_* or REDIS_URL variable. TEST_REDIS_URL names a Redis to use,
which must be empty; without it a private one is started.
`;

/** A second signal counts only after this: a terminal and a package manager may both pass on one Ctrl-C. */
const SECOND_SIGNAL_MS = 1_000;
const REFRESH_MS = 300;

const stopping = new AbortController();
let stoppingSince: number | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stoppingSince !== undefined && performance.now() - stoppingSince > SECOND_SIGNAL_MS) process.exit(1);
    stoppingSince ??= performance.now();
    stopping.abort();
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { once: { type: "boolean", default: false }, help: { type: "boolean", default: false } },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  say("Starting a Redis, the Calendly simulator, the ingest and a worker …");
  const installation = await startInstallation();
  try {
    say("\nDeliveries (→) with their answers, and the outcomes (⇐) that follow");
    const problems = await watchDay(
      { ...installation, isWorkedOff: (accepted) => installation.jobsDone() >= accepted },
      stopping.signal,
    );
    if (stopping.signal.aborted) return 0;
    say(
      problems.length === 0
        ? "\nWhat came out is what must come out."
        : `\nThis is not what must come out:\n${problems.join("\n")}\n\n${installation.lastLines()}`,
    );
    if (values.once) return problems.length === 0 ? 0 : 1;
    await stayUp(installation);
    return problems.length === 0 ? 0 : 1;
  } finally {
    say("\nStopping …");
    await installation.stop();
  }
}

/** Shows what else happens until Ctrl-C. */
async function stayUp({ addresses, simulator, outcomes }: Installation): Promise<void> {
  say("\nEverything stays up until Ctrl-C. Try:\n");
  for (const { what, how } of addresses) say(`  ${what}\n    ${how}`);
  say();
  let seenAttempts = (await simulator.attempts()).length;
  let seenOutcomes = (await outcomes.all()).length;
  while (!stopping.signal.aborted) {
    await pause(REFRESH_MS, undefined, { signal: stopping.signal }).catch(() => {});
    for (const { event, about, status, body, error } of await simulator.attempts(seenAttempts)) {
      seenAttempts += 1;
      sayDelivery({ event, invitee: about.split("/").at(-1) ?? "", answer: error ?? answerOf(status ?? 0, body) });
    }
    for (const event of (await outcomes.all()).slice(seenOutcomes)) {
      seenOutcomes += 1;
      sayOutcome(event);
    }
  }
}
