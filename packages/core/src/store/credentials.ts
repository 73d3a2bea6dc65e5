import type { Advice, RetiredToken, SigningKeyRecord, TokenRecord } from "../calendly/credential-advice.ts";
import type { ApiToken } from "../calendly/gate.ts";
import type { Redis } from "../redis/connect.ts";
import { apiTokensKey, credentialReportKey, signingKeysKey } from "../redis/keys.ts";

/** What the last check of tokens and signing keys found. */
export interface CredentialReport {
  /** ISO 8601. */
  readonly checkedAt: string;
  readonly tokens: readonly TokenRecord[];
  readonly signingKeys: readonly SigningKeyRecord[];
  readonly advice: readonly Advice[];
}

/** A signing key as an ingest accepts it. */
export interface SigningKeySlot {
  readonly slot: "primary" | "secondary";
  readonly fingerprint: string;
}

/** What all processes know of tokens and signing keys. Usage is counted by fingerprint, so that it follows a promotion. */
export interface Credentials {
  tokens(tokens: readonly ApiToken[]): Promise<TokenRecord[]>;
  /** Those that have been used and are none of `tokens`. */
  retiredTokens(tokens: readonly ApiToken[]): Promise<RetiredToken[]>;
  /** `counted` are the totals at the last check, by fingerprint. */
  signingKeys(counted: Readonly<Record<string, number>>): Promise<SigningKeyRecord[]>;
  /** Deliveries that were verified with a key, whether it is still accepted or not. */
  verifiedWith(fingerprint: string): Promise<number>;
  /** Which of the two variables a key stood in last. */
  lastSlotOf(fingerprint: string): Promise<SigningKeySlot["slot"] | undefined>;
  /** Says which keys an ingest accepts. */
  announceSigningKeys(keys: readonly SigningKeySlot[]): Promise<void>;
  /** Adds to the deliveries that were verified with a key; `lastAt` is when the last of them was, in ms. */
  countVerified(fingerprint: string, deliveries: number, lastAt: number): Promise<void>;
  /** When a delivery was last verified with whatever key, in ms. */
  lastDeliveryAt(): Promise<number | undefined>;
  report(): Promise<CredentialReport | undefined>;
  keepReport(report: CredentialReport): Promise<void>;
}

export function createCredentials(redis: Redis, now: () => number): Credentials {
  return {
    async tokens(tokens) {
      const known = await redis.hgetall(apiTokensKey);
      return tokens.map(({ slot, fingerprint }) => {
        const field = (name: string) => known[`${fingerprint}:${name}`];
        const prefix = `${fingerprint}:scope:`;
        const scopes = Object.entries(known).filter(([name]) => name.startsWith(prefix));
        return {
          slot,
          fingerprint,
          seen: field("state") as TokenRecord["seen"],
          used: Number(field("used") ?? 0),
          firstSeenAt: numberOf(field("first_seen")),
          lastUsedAt: numberOf(field("last_used")),
          provenScopes: Object.fromEntries(scopes.map(([name, at]) => [name.slice(prefix.length), Number(at)])),
        };
      });
    },

    async retiredTokens(tokens) {
      const known = await redis.hgetall(apiTokensKey);
      const seen = Object.keys(known).flatMap((name) =>
        name.endsWith(":used") ? [name.slice(0, -":used".length)] : [],
      );
      const retired = seen.filter((fingerprint) => !tokens.some((token) => token.fingerprint === fingerprint));
      return retired.map((fingerprint) => ({
        fingerprint,
        seen: known[`${fingerprint}:state`] as RetiredToken["seen"],
        lastUsedAt: numberOf(known[`${fingerprint}:last_used`]),
      }));
    },

    async signingKeys(counted) {
      const known = await redis.hgetall(signingKeysKey);
      const slots = ["primary", "secondary"] as const;
      return slots.flatMap((slot) => {
        const fingerprint = known[`slot:${slot}`];
        if (fingerprint === undefined) return [];
        const verified = Number(known[`${fingerprint}:verified`] ?? 0);
        return {
          slot,
          fingerprint,
          verified,
          verifiedSinceCheck: verified - (counted[fingerprint] ?? 0),
          lastUsedAt: numberOf(known[`${fingerprint}:last_used`]),
          firstSeenAt: numberOf(known[`${fingerprint}:first_seen`]),
        };
      });
    },

    async verifiedWith(fingerprint) {
      return Number((await redis.hget(signingKeysKey, `${fingerprint}:verified`)) ?? 0);
    },

    async lastSlotOf(fingerprint) {
      const slot = await redis.hget(signingKeysKey, `${fingerprint}:slot`);
      return slot === "primary" || slot === "secondary" ? slot : undefined;
    },

    async announceSigningKeys(keys) {
      for (const { slot, fingerprint } of keys) {
        await redis.hset(signingKeysKey, `slot:${slot}`, fingerprint);
        await redis.hset(signingKeysKey, `${fingerprint}:slot`, slot);
        await redis.hsetnx(signingKeysKey, `${fingerprint}:first_seen`, String(now()));
      }
      if (!keys.some(({ slot }) => slot === "secondary")) await redis.hdel(signingKeysKey, "slot:secondary");
    },

    async countVerified(fingerprint, deliveries, lastAt) {
      await redis.hincrby(signingKeysKey, `${fingerprint}:verified`, deliveries);
      await redis.hset(signingKeysKey, `${fingerprint}:last_used`, String(lastAt));
    },

    async lastDeliveryAt() {
      const known = Object.entries(await redis.hgetall(signingKeysKey));
      const times = known.filter(([name]) => name.endsWith(":last_used")).map(([, at]) => Number(at));
      return times.length === 0 ? undefined : Math.max(...times);
    },

    async report() {
      const text = await redis.get(credentialReportKey);
      return text === null ? undefined : (JSON.parse(text) as CredentialReport);
    },

    async keepReport(report) {
      await redis.set(credentialReportKey, JSON.stringify(report));
    },
  };
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
