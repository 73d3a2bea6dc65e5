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

/** Where one is in the rotation of the API token, and what comes next. Steps are those of the deployment guide. */
export interface TokenRotation {
  /** 1 to 7; undefined while none is under way. */
  readonly step: number | undefined;
  readonly next: string;
}

/** A token that is configured nowhere any more: the one that a rotation replaced. */
export interface RetiredToken {
  readonly fingerprint: string;
  readonly seen: TokenRecord["seen"];
  readonly lastUsedAt: number | undefined;
}

/** All processes have been restarted when the old token has not been used for so long. */
const UNUSED_MS = 10 * 60_000;
/** A token that was retired longer ago belongs to a rotation that is over. */
const RECENT_MS = 7 * 86_400_000;

/** What the guide's procedure for the API token asks for next. `now` in ms. */
export function adviseOnTokenRotation(
  tokens: readonly TokenRecord[],
  retired: readonly RetiredToken[],
  now: number,
): TokenRotation {
  const secondary = tokens.find(({ slot }) => slot === "secondary");
  const old = retired.find(({ seen, lastUsedAt }) => seen === "active" && now - (lastUsedAt ?? 0) < RECENT_MS);
  if (old !== undefined) {
    const leftMs = (old.lastUsedAt ?? 0) + UNUSED_MS - now;
    const next =
      leftMs <= 0
        ? `Revoke the old token (${old.fingerprint}) in Calendly: nothing has used it for ${UNUSED_MS / 60_000} minutes. It is safe now.`
        : `Wait: the old token (${old.fingerprint}) was used less than ${UNUSED_MS / 60_000} minutes ago. It is not safe to revoke it yet.`;
    return { step: leftMs <= 0 ? 7 : 6, next };
  }
  if (secondary === undefined) {
    const next =
      "No rotation is under way. To begin one, make a new token in Calendly, set it as CALENDLY_API_TOKEN_SECONDARY and deploy.";
    return { step: undefined, next };
  }
  if (secondary.seen !== undefined && secondary.seen !== "active") {
    return {
      step: 2,
      next: `Calendly does not take the secondary token (${secondary.seen}): set another one. Do not promote it.`,
    };
  }
  if (!isProven(secondary, now)) {
    const proven = NEEDED_SCOPES.filter((scope) => now - (secondary.provenScopes[scope] ?? 0) < PROVEN_AFTER_MS).length;
    const until = new Date((secondary.firstSeenAt ?? now) + PROVEN_AFTER_MS).toISOString();
    const next = `Wait until ${until}: ${proven} of ${NEEDED_SCOPES.length} scopes of the secondary token have worked. Do not revoke the primary one.`;
    return { step: 4, next };
  }
  const next =
    "Set CALENDLY_API_TOKEN to the value of CALENDLY_API_TOKEN_SECONDARY, and the latter to nothing; deploy. Do not revoke the old one before that.";
  return { step: 5, next };
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
