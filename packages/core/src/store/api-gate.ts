import { randomUUID } from "node:crypto";
import type { TokenFault } from "../calendly/errors.ts";
import type { ApiGate, ApiToken, Priority } from "../calendly/gate.ts";
import type { Redis } from "../redis/connect.ts";
import { apiBudgetKey, apiInFlightKey, apiTokensKey } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";
import type { Fingerprint } from "./fingerprints.ts";

/** The part of the budget up to which each may go, so that those before it find some left. */
const CAPS: Readonly<Record<Priority, number>> = { live: 1, missing_half: 0.95, monitor: 0.9, sweep: 0.9 };
/** What monitors and sweeps may take together. */
const LOW_SHARE = 0.3;
const LOW: readonly Priority[] = ["monitor", "sweep"];

const enterApi = defineScript({
  name: "enter-api",
  keys: ["tokens", "budget", "in_flight"],
  args: ["ticket", "now", "is_low", "cap", "low_share", "lost_at", "wanted"],
  reply: (raw) => raw as ["go", string] | ["wait", number] | ["no_token"],
});

const leaveApi = defineScript({
  name: "leave-api",
  keys: ["tokens", "budget", "in_flight"],
  args: ["ticket", "now", "limit", "remaining", "reset_ms", "is_refused", "fingerprint", "fault"],
  reply: (raw) => raw === 1,
});

const KEYS = { tokens: apiTokensKey, budget: apiBudgetKey, in_flight: apiInFlightKey };

/** The gate that all processes on one Redis share: one budget, one view of each token. */
export function createApiGate(ports: {
  readonly redis: Redis;
  /** The preferred one first. */
  readonly tokens: readonly string[];
  readonly fingerprintOf: Fingerprint;
  /** After this time a request counts as ended, whatever became of the process that made it. */
  readonly requestTimeoutMs: number;
  readonly now: () => number;
  /** Calendly takes a token no more; said once in the fleet. */
  readonly onTokenDead: (token: ApiToken, fault: TokenFault) => Promise<void>;
}): ApiGate {
  const { redis, fingerprintOf, requestTimeoutMs, now, onTokenDead } = ports;
  const slots = ["primary", "secondary"] as const;
  const tokens = ports.tokens.flatMap((value, index): ApiToken[] => {
    const slot = slots[index];
    if (slot === undefined) return [];
    const token = {
      slot,
      value,
      // Asked each time: it is another one after Redis was emptied.
      get fingerprint() {
        return fingerprintOf(value);
      },
    };
    return [token];
  });

  return {
    tokens,

    async enter({ priority, token: wanted }) {
      const ticket = randomUUID();
      const offered = tokens.map(({ fingerprint }) => fingerprint);
      const [kind, what] = await enterApi(
        redis,
        KEYS,
        {
          ticket,
          now: now(),
          is_low: LOW.includes(priority) ? 1 : 0,
          cap: CAPS[priority],
          low_share: LOW_SHARE,
          lost_at: now() + requestTimeoutMs,
          wanted: wanted?.fingerprint ?? "",
        },
        offered,
      );
      if (kind === "wait") return { kind, ms: Math.max(1, Number(what)) };
      const token = tokens[offered.indexOf(String(what))];
      return kind === "go" && token !== undefined ? { kind, ticket, token } : { kind: "no_token" };
    },

    async leave({ ticket, token, budget, isRefused, tokenFault, provenScopes }) {
      const isNewlyDead = await leaveApi(
        redis,
        KEYS,
        {
          ticket,
          now: now(),
          limit: budget.limit ?? "",
          remaining: budget.remaining ?? "",
          reset_ms: budget.resetMs ?? "",
          is_refused: isRefused ? 1 : 0,
          fingerprint: token.fingerprint,
          fault: tokenFault ?? "",
        },
        provenScopes,
      );
      if (isNewlyDead && tokenFault !== undefined) await onTokenDead(token, tokenFault);
    },
  };
}
