import {
  adviseOnTokenRotation,
  adviseOnTokens,
  NEEDED_SCOPES,
  type TokenRecord,
  tokenState,
} from "@calendly-worker/core/calendly/credential-advice";
import { Command } from "commander";
import type { CommandPorts } from "../installation.ts";

export function tokensCommand(ports: CommandPorts): Command {
  return new Command("tokens").description("Calendly's API tokens.").addCommand(statusCommand(ports));
}

function statusCommand({ open, say }: CommandPorts): Command {
  return new Command("status")
    .description("Says of each token how it is, how much it was used, when each scope last worked, and what to do.")
    .option("--json", "print JSON")
    .action(async ({ json }: { json?: true }) => {
      const { config, openCalendly } = await open();
      const { gate, credentials } = await openCalendly();
      const maxUsage = config.CALENDLY_MAX_USAGE_PER_KEY;
      const tokens = await credentials.tokens(gate.tokens);
      const rotation = adviseOnTokenRotation(tokens, await credentials.retiredTokens(gate.tokens), Date.now());
      const advice = adviseOnTokens(tokens, maxUsage, Date.now());
      if (json) {
        const states = tokens.map((token) => ({ ...token, state: tokenState(token, maxUsage) }));
        return say(JSON.stringify({ tokens: states, advice, rotation }));
      }
      for (const token of tokens) for (const line of linesOf(token, maxUsage)) say(line);
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
