import type { CalendlyClient, CurrentUser } from "@calendly-worker/core/calendly/client";
import {
  type Advice,
  type AdviceCode,
  adviseOnSigningKeys,
  adviseOnTokens,
} from "@calendly-worker/core/calendly/credential-advice";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { ApiGate } from "@calendly-worker/core/calendly/gate";
import { lackingScopes } from "@calendly-worker/core/calendly/token-scopes";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import type { Credentials } from "@calendly-worker/core/store/credentials";
import type { Notices, NoticeType } from "@calendly-worker/core/store/notices";
import type { Task } from "./maintain.ts";

const NOTICE_OF: Partial<Record<AdviceCode, NoticeType>> = {
  token_dead: "credentials.token_dead",
  token_rotation_recommended: "credentials.rotation_recommended",
  old_signing_key_may_go: "credentials.signing_key_unused",
};

/**
 * Tries each token with one cheap read a scope, looks at the use of tokens and signing keys, and says what should be done
 * about them: in the log and as a notice when it is new, in the report for health at any time.
 */
export function checkCredentials(ports: {
  readonly client: CalendlyClient;
  readonly gate: ApiGate;
  readonly credentials: Credentials;
  readonly notices: Notices;
  readonly maxUsage: number;
  readonly now: () => number;
}): Task {
  const { client, gate, credentials, notices, maxUsage, now } = ports;

  return async ({ log }) => {
    const before = await credentials.report();
    const advice = await tryTokens(log);
    const tokens = await credentials.tokens(gate.tokens);
    const counted = Object.fromEntries((before?.signingKeys ?? []).map((key) => [key.fingerprint, key.verified]));
    const signingKeys = await credentials.signingKeys(counted);
    advice.push(...adviseOnTokens(tokens, maxUsage, now()), ...adviseOnSigningKeys(signingKeys));

    const isOld = ({ code, slot }: Advice) =>
      before?.advice.some((known) => known.code === code && known.slot === slot);
    for (const item of advice.filter((one) => !isOld(one))) {
      const { code, slot, message } = item;
      log.warn({ event: "credential_advice", advice: code, slot }, message);
      const type = NOTICE_OF[code];
      if (type !== undefined) await notices.add({ type, subject: slot, message });
    }
    const checkedAt = new Date(now()).toISOString();
    // Last: a check that is killed before says it again rather than never.
    await credentials.keepReport({ checkedAt, tokens, signingKeys, advice });
    return advice.length === 0 ? "all is well" : advice.map(({ code }) => code).join(", ");
  };

  async function tryTokens(log: JobContext["log"]): Promise<Advice[]> {
    const advice: Advice[] = [];
    let first: CurrentUser | undefined;
    const known = await credentials.tokens(gate.tokens);
    for (const token of gate.tokens) {
      const { slot } = token;
      const seen = known.find(({ fingerprint }) => fingerprint === token.fingerprint)?.seen;
      // A dead one is asked for no more, until another stands in its place.
      if (seen !== undefined && seen !== "active") continue;
      try {
        const user = await client.currentUser({ priority: "monitor", token });
        first ??= user;
        if (user.uri !== first.uri || user.current_organization !== first.current_organization) {
          const message = `The ${slot} token belongs to another user or organization than the first: it cannot replace it.`;
          advice.push({ code: "token_of_another_user", slot, message });
        }
        const lacking = await lackingScopes(client, { token, user, priority: "monitor", now: now() });
        if (lacking.length > 0) {
          advice.push({ code: "token_lacks_scope", slot, message: `The ${slot} token lacks ${lacking.join(", ")}.` });
        }
      } catch (err) {
        if (!(err instanceof CalendlyError)) throw err;
        log.info({ slot, code: err.code }, "could not try a token");
      }
    }
    return advice;
  }
}
