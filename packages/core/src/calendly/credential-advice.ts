import type { TokenFault } from "./errors.ts";

/** Read scopes that a token needs; `webhooks:write` cannot be proved without making something. */
export const NEEDED_SCOPES = ["users:read", "scheduled_events:read", "event_types:read", "availability:read"] as const;

export type TokenState = "active" | "approaching_limit" | TokenFault | "unknown";

/** What is known of a token. Times in ms. */
export interface TokenRecord {
  readonly slot: "primary" | "secondary";
  readonly fingerprint: string;
  /** As Calendly's answers say; undefined before the first. */
  readonly seen: "active" | TokenFault | undefined;
  /** Requests that were made with it. */
  readonly used: number;
  readonly firstSeenAt: number | undefined;
  readonly lastUsedAt: number | undefined;
  /** When each scope last worked. */
  readonly provenScopes: Readonly<Record<string, number>>;
}

export interface SigningKeyRecord {
  readonly slot: "primary" | "secondary";
  readonly fingerprint: string;
  /** Deliveries that were verified with it, ever and since the last check. */
  readonly verified: number;
  readonly verifiedSinceCheck: number;
  readonly lastUsedAt: number | undefined;
  readonly firstSeenAt: number | undefined;
}

/** What somebody should do about a credential. `code` is one of a closed list. */
export interface Advice {
  readonly code: AdviceCode;
  readonly slot: "primary" | "secondary";
  readonly message: string;
}

export const ADVICE = [
  "token_dead",
  "token_rotation_recommended",
  "token_approaching_limit",
  "token_of_another_user",
  "token_lacks_scope",
  "secondary_token_proven",
  "old_signing_key_may_go",
  "new_signing_key_not_seen",
] as const;
export type AdviceCode = (typeof ADVICE)[number];

const APPROACHING = 0.8;
const PROVEN_AFTER_MS = 86_400_000;

export function tokenState({ seen, used }: TokenRecord, maxUsage: number): TokenState {
  if (seen === undefined) return "unknown";
  if (seen !== "active") return seen;
  return used >= maxUsage * APPROACHING ? "approaching_limit" : "active";
}

/** What the usage, the age and the life of the tokens call for. */
export function adviseOnTokens(tokens: readonly TokenRecord[], maxUsage: number, now: number): Advice[] {
  return tokens.flatMap((token): Advice[] => {
    const { slot, used } = token;
    const state = tokenState(token, maxUsage);
    if (state === "invalid" || state === "expired" || state === "revoked") {
      return [
        { code: "token_dead", slot, message: `Calendly takes the ${slot} token no more (${state}). Replace it.` },
      ];
    }
    const advice: Advice[] = [];
    if (used >= maxUsage) {
      const message = `The ${slot} token has made ${used} requests of ${maxUsage}: rotate it.`;
      advice.push({ code: "token_rotation_recommended", slot, message });
    } else if (state === "approaching_limit") {
      const message = `The ${slot} token has made ${used} requests; from ${maxUsage} on its rotation is recommended.`;
      advice.push({ code: "token_approaching_limit", slot, message });
    }
    if (slot === "secondary" && isProven(token, now)) {
      const message = "All read scopes of the secondary token have worked for a day: it can become the primary one.";
      advice.push({ code: "secondary_token_proven", slot, message });
    }
    return advice;
  });
}

/** Whether a token is a day old and every scope that can be proved has worked within the last. */
function isProven({ firstSeenAt, provenScopes }: TokenRecord, now: number): boolean {
  if (firstSeenAt === undefined || now - firstSeenAt < PROVEN_AFTER_MS) return false;
  return NEEDED_SCOPES.every((scope) => now - (provenScopes[scope] ?? 0) < PROVEN_AFTER_MS);
}

/** What the use of two signing keys calls for: whoever has one only has nothing to do. */
export function adviseOnSigningKeys(keys: readonly SigningKeyRecord[]): Advice[] {
  const primary = keys.find(({ slot }) => slot === "primary");
  const secondary = keys.find(({ slot }) => slot === "secondary");
  if (primary === undefined || secondary === undefined) return [];
  const [older, newer] =
    (primary.firstSeenAt ?? 0) <= (secondary.firstSeenAt ?? 0) ? [primary, secondary] : [secondary, primary];
  if (newer.verified === 0) {
    const message = `No delivery has been verified with the ${newer.slot} signing key, which is the newer one, yet.`;
    return [{ code: "new_signing_key_not_seen", slot: newer.slot, message }];
  }
  if (newer.verifiedSinceCheck > 0 && older.verifiedSinceCheck === 0) {
    const message = `No delivery has been verified with the ${older.slot} signing key since the last check: it may go.`;
    return [{ code: "old_signing_key_may_go", slot: older.slot, message }];
  }
  return [];
}
