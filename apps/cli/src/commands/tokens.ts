import { userInfo } from "node:os";
import {
  adviseOnTokenRotation,
  adviseOnTokens,
  NEEDED_SCOPES,
  type TokenRecord,
  tokenState,
} from "@calendly-worker/core/calendly/credential-advice";
import { Command, Option } from "commander";
import type { CommandPorts } from "../installation.ts";
import { wholeNumber } from "../options.ts";

export function tokensCommand(ports: CommandPorts): Command {
  return new Command("tokens")
    .description("Calendly's API tokens.")
    .addCommand(statusCommand(ports))
    .addCommand(snoozeCommand(ports));
}

const DAY_MS = 86_400_000;

function snoozeCommand({ open, say }: CommandPorts): Command {
  return new Command("snooze")
    .description(
      "Silences the alert that a token approaches CALENDLY_MAX_USAGE_PER_KEY. It ends by itself, or with another token in its place, and is written down.",
    )
    .addOption(new Option("--slot <slot>", "which token").choices(["primary", "secondary"]).default("primary"))
    .option("--days <number>", "for how long, 1 to 90", wholeNumber(1, 90), 14)
    .option("--wake", "end it now")
    .option("--json", "print JSON")
    .action(async ({ slot, days, wake, json }: { slot: string; days: number; wake?: true; json?: true }) => {
      const { openCalendly, snoozes, audit } = await open();
      const { gate } = await openCalendly();
      const token = gate.tokens.find((one) => one.slot === slot);
      const variable = `CALENDLY_API_TOKEN${slot === "secondary" ? "_SECONDARY" : ""}`;
      if (token === undefined) throw new Error(`There is no ${slot} token: ${variable} is not set.`);
      // Before it is done, as on the dashboard: nothing is done without a trace.
      const action = wake ? "tokens.wake" : "tokens.snooze";
      await audit.note({ who: whoRunsThis(), action, subject: `${slot} ${token.fingerprint}` });
      if (wake) await snoozes.wake(token.fingerprint);
      else await snoozes.snooze(token.fingerprint, days * DAY_MS);
      const until = await snoozes.until(token.fingerprint);
      const at = until === undefined ? null : new Date(until).toISOString();
      if (json) return say(JSON.stringify({ slot, fingerprint: token.fingerprint, snoozedUntil: at }));
      say(at === null ? `The ${slot} token is not snoozed.` : `The ${slot} token is snoozed until ${at}.`);
    });
}

/** A container may run as somebody who has no name. */
function whoRunsThis(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

function statusCommand({ open, say }: CommandPorts): Command {
  return new Command("status")
    .description("Says of each token how it is, how much it was used, when each scope last worked, and what to do.")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: true }) => {
      const { config, openCalendly, snoozes } = await open();
      const { gate, credentials } = await openCalendly();
      const maxUsage = config.CALENDLY_MAX_USAGE_PER_KEY;
      const tokens = await credentials.tokens(gate.tokens);
      const snoozed = await Promise.all(tokens.map(({ fingerprint }) => snoozes.until(fingerprint)));
      const rotation = adviseOnTokenRotation(tokens, await credentials.retiredTokens(gate.tokens), Date.now());
      const advice = adviseOnTokens(tokens, maxUsage, Date.now());
      if (json) {
        const states = tokens.map((token, index) => ({
          ...token,
          state: tokenState(token, maxUsage),
          snoozedUntil: snoozed[index] === undefined ? null : new Date(snoozed[index]).toISOString(),
        }));
        return say(JSON.stringify({ tokens: states, advice, rotation }));
      }
      for (const [index, token] of tokens.entries()) {
        for (const line of linesOf(token, maxUsage)) say(line);
        const until = snoozed[index];
        if (until !== undefined) say(`  the alert about its use is snoozed until ${new Date(until).toISOString()}`);
      }
      for (const { message } of advice) say(`→ ${message}`);
      const { step, next } = rotation;
      say(step === undefined ? `Rotation: ${next}` : `Rotation, step ${step} of 7: ${next}`);
    });
}

function linesOf(token: TokenRecord, maxUsage: number): string[] {
  const at = (ms: number | undefined) => (ms === undefined ? "never" : new Date(ms).toISOString());
  const { slot, fingerprint, used, lastUsedAt, provenScopes } = token;
  return [
    `${slot} (${fingerprint})  ${tokenState(token, maxUsage)}, ${used} of ${maxUsage} requests, last used ${at(lastUsedAt)}`,
    ...NEEDED_SCOPES.map((scope) => `  ${scope.padEnd(24)} last worked ${at(provenScopes[scope])}`),
    `  ${"webhooks:write".padEnd(24)} not provable without making a subscription`,
  ];
}
