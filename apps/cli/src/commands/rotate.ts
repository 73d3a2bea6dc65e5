import { Command, InvalidArgumentError } from "commander";
import { type Aborted, abortRotation } from "../abort-rotation.ts";
import type { CommandPorts } from "../installation.ts";
import { rotate } from "../rotation.ts";

/** Not finished, but nothing is wrong: run it again. */
const EXIT_NOT_YET = 2;
const VARIABLES = ["CALENDLY_WEBHOOK_SIGNING_KEY", "CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY"] as const;

const ABORTED = {
  "none under way": { text: "No rotation is under way.", json: { aborted: false } },
  "old delivers": {
    text: "The rotation is given up; the old subscription goes on.",
    json: { aborted: true, oldDelivers: true },
  },
  "none delivers": {
    text: "The rotation is given up, and the old subscription delivers nothing: `calendly webhooks register` makes one that does.",
    json: { aborted: true, oldDelivers: false },
  },
} as const satisfies Record<Aborted, object>;

interface Options {
  readonly emergency?: true;
  readonly abort?: true;
  readonly timeout: number;
  readonly json?: true;
}

export function rotateCommand({ open, say, note, exitWith }: CommandPorts): Command {
  return new Command("rotate")
    .description(
      "Replaces the signing key without losing a delivery: CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY becomes the key of a new subscription, and the old one is deleted when that delivers. Ended in the middle, it goes on where it was.",
    )
    .option("--emergency", "the old key has leaked: wait for nothing before the old subscription is deleted")
    .option("--abort", "give up a rotation, as long as the old subscription delivers")
    .option("--timeout <seconds>", "how long to wait for the new subscription's first delivery", secondsOf, 3_600)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `\nExit codes: 0 done, ${EXIT_NOT_YET} not yet (run it again), 78 refused as unsafe, 1 failed.`,
    )
    .action(async ({ emergency, abort, timeout, json }: Options) => {
      const installation = await open();
      if (abort) {
        const aborted = await abortRotation(installation);
        if (json) return say(JSON.stringify(ABORTED[aborted].json));
        return say(ABORTED[aborted].text);
      }
      const telling = { step: note, waiting: note };
      const how = { isEmergency: emergency === true, deadlineMs: timeout * 1_000 };
      const rotated = await rotate(installation, telling, how);
      if (rotated === "not yet") exitWith(EXIT_NOT_YET);
      if (json) return say(JSON.stringify({ rotated: rotated === "done" }));
      if (rotated === "not yet")
        return say("Not finished: run `calendly webhooks rotate` again. Both keys must stay accepted.");
      for (const line of nextSteps(emergency === true)) say(line);
    });
}

function nextSteps(isEmergency: boolean): string[] {
  const [primary, secondary] = VARIABLES;
  return [
    "The signing key is rotated. Now change the environment of every app, and restart them:",
    `  ${primary} = the value of ${secondary}`,
    isEmergency
      ? `  ${secondary} = nothing. At once: until then whoever has the leaked key is believed.`
      : `  ${secondary} = the old key, for a day more; then nothing. \`calendly tokens status\` and the notices say when it may go.`,
  ];
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (!Number.isInteger(seconds) || seconds < 0) throw new InvalidArgumentError("expected a whole number of seconds.");
  return seconds;
}
