import type { ApiGate } from "@calendly-worker/core/calendly/gate";

/** A gate without a budget, for one process: the tokens in that order, until Calendly takes one no more. */
export function openGate(...values: string[]): ApiGate {
  const slots = ["primary", "secondary"] as const;
  const tokens = values.map((value, index) => ({
    slot: slots[index] ?? "secondary",
    value,
    fingerprint: `token ${index}`,
  }));
  const dead = new Set<string>();
  return {
    tokens,
    async enter({ token: wanted }) {
      const token = wanted ?? tokens.find(({ fingerprint }) => !dead.has(fingerprint));
      return token === undefined ? { kind: "no_token" } : { kind: "go", ticket: "ticket", token };
    },
    async leave({ token, tokenFault }) {
      if (tokenFault !== undefined) dead.add(token.fingerprint);
    },
  };
}
