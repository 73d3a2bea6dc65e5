import { isSameSecret } from "@calendly-worker/core/calendly/secrets";
import type { ConsumerToken } from "@calendly-worker/core/config/consumer-tokens";
import { ProblemError } from "@calendly-worker/core/http-api/problems";

/** Who asks, and what they may see. */
export interface Reader {
  readonly name: string;
  readonly mayManage: boolean;
  /** URIs or ids; undefined for all. */
  readonly eventTypes?: readonly string[] | undefined;
}

/** Whom an `Authorization` header speaks for. Throws a ProblemError where it is nobody. */
export type Authenticate = (authorization: string | undefined) => Reader;

export function createAuthenticate(tokens: {
  readonly ops: string | undefined;
  readonly consumers: readonly ConsumerToken[];
}): Authenticate {
  const { ops, consumers } = tokens;
  return (authorization) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(authorization ?? "") ?? [];
    if (given === undefined) {
      throw new ProblemError(
        "token_missing",
        "expected a header `Authorization: Bearer …` with OPS_API_TOKEN or one of CALENDLY_CONSUMER_TOKENS",
      );
    }
    // All are compared, so that the time says nothing of which ones there are.
    const isOps = ops !== undefined && isSameSecret(given, ops);
    const consumer = consumers.filter(({ token }) => isSameSecret(given, token))[0];
    if (isOps) return { name: "ops", mayManage: true };
    if (consumer === undefined) {
      const isAnySet = ops !== undefined || consumers.length > 0;
      const none = "no token is configured: set OPS_API_TOKEN or CALENDLY_CONSUMER_TOKENS";
      throw new ProblemError("token_unknown", isAnySet ? "the bearer token is none that is configured" : none);
    }
    return { name: consumer.name, mayManage: false, eventTypes: consumer.eventTypes };
  };
}
