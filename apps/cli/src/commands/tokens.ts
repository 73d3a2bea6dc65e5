import {
  type Advice,
  adviseOnSigningKeys,
  adviseOnTokenRotation,
  adviseOnTokens,
  NEEDED_SCOPES,
  type SigningKeyRecord,
  type TokenRecord,
  tokenState,
} from "@calendly-worker/core/calendly/credential-advice";
import type { CredentialReport, Credentials } from "@calendly-worker/core/store/credentials";
import { Command, Option } from "commander";
import type { CommandPorts } from "../installation.ts";
import { wholeNumber } from "../options.ts";
import { whoRunsThis } from "../who.ts";

export function tokensCommand(ports: CommandPorts): Command {
  return new Command("tokens")
    .description("Calendly's API tokens, and the signing keys of its webhook.")
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

function statusCommand({ open, say }: CommandPorts): Command {
  return new Command("status")
    .description(
      "Says of each token how it is, how much it was used and when each scope last worked, of each signing key that is accepted what was verified with it, and what to do.",
    )
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: true }) => {
      const { config, openCalendly, snoozes } = await open();
      const { gate, credentials } = await openCalendly();
      const maxUsage = config.CALENDLY_MAX_USAGE_PER_KEY;
      const tokens = await credentials.tokens(gate.tokens);
      const snoozed = await Promise.all(tokens.map(({ fingerprint }) => snoozes.until(fingerprint)));
      const rotation = adviseOnTokenRotation(tokens, await credentials.retiredTokens(gate.tokens), Date.now());
      const report = await credentials.report();
      const signingKeys = await readSigningKeys(credentials, report);
      const advice = [
        ...adviseOnTokens(tokens, maxUsage, Date.now()),
        ...adviceOfTheCheck(report, tokens),
        ...adviseOnSigningKeys(signingKeys),
      ];
      if (json) {
        const states = tokens.map((token, index) => ({
          ...token,
          state: tokenState(token, maxUsage),
          snoozedUntil: snoozed[index] === undefined ? null : new Date(snoozed[index]).toISOString(),
        }));
        const keys = signingKeys.map(({ verifiedSinceCheck: _, ...key }) => key);
        return say(JSON.stringify({ tokens: states, signingKeys: keys, advice, rotation }));
      }
      for (const [index, token] of tokens.entries()) {
        for (const line of linesOf(token, maxUsage)) say(line);
        const until = snoozed[index];
        if (until !== undefined) say(`  the alert about its use is snoozed until ${new Date(until).toISOString()}`);
      }
      for (const key of signingKeys) say(lineOf(key));
      if (signingKeys.length === 0) say("No ingest has told yet which signing keys it accepts.");
      for (const { message } of advice) say(`→ ${message}`);
      const { step, next } = rotation;
      say(step === undefined ? `Rotation: ${next}` : `Rotation, step ${step} of 7: ${next}`);
    });
}

/**
 * Counted since the check before the last one: the last may have been a minute ago, and a key that nothing was verified
 * with since then is in use all the same.
 */
async function readSigningKeys(
  credentials: Credentials,
  report: CredentialReport | undefined,
): Promise<SigningKeyRecord[]> {
  const before = (report?.signingKeys ?? []).map((key) => [key.fingerprint, key.verified - key.verifiedSinceCheck]);
  return await credentials.signingKeys(Object.fromEntries(before));
}

/** What only the worker's check finds out, as it asks Calendly, of tokens that are in their places still. */
function adviceOfTheCheck(report: CredentialReport | undefined, tokens: readonly TokenRecord[]): readonly Advice[] {
  if (report === undefined) return [];
  const inSlot = (records: readonly TokenRecord[], slot: Advice["slot"]) =>
    records.find((token) => token.slot === slot)?.fingerprint;
  return report.advice.filter(
    ({ code, slot }) =>
      (code === "token_of_another_user" || code === "token_lacks_scope") &&
      inSlot(report.tokens, slot) === inSlot(tokens, slot),
  );
}

const at = (ms: number | undefined) => (ms === undefined ? "never" : new Date(ms).toISOString());

function lineOf({ slot, fingerprint, verified, lastUsedAt }: SigningKeyRecord): string {
  return `${slot} signing key (${fingerprint})  ${verified} deliveries verified, last used ${at(lastUsedAt)}`;
}

function linesOf(token: TokenRecord, maxUsage: number): string[] {
  const { slot, fingerprint, used, lastUsedAt, provenScopes } = token;
  return [
    `${slot} (${fingerprint})  ${tokenState(token, maxUsage)}, ${used} of ${maxUsage} requests, last used ${at(lastUsedAt)}`,
    ...NEEDED_SCOPES.map((scope) => `  ${scope.padEnd(24)} last worked ${at(provenScopes[scope])}`),
    `  ${"webhooks:write".padEnd(24)} not provable without making a subscription`,
  ];
}
