import type { TokenFault } from "../calendly/errors.ts";
import type { ApiToken } from "../calendly/gate.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Notices } from "./notices.ts";

/** Tells that Calendly takes a token no more: for the gate, which finds it out once in the fleet, whoever asks. */
export function tokenDied(ports: {
  readonly notices: Notices;
  readonly log: Logger;
  /** Whether there is another token to go on with. */
  readonly hasOther: boolean;
}): (token: ApiToken, fault: TokenFault) => Promise<void> {
  const { notices, log, hasOther } = ports;
  return async ({ slot, fingerprint }, fault) => {
    const failsOver = hasOther && slot === "primary";
    const advice = failsOver ? "the secondary one is used from now on" : "Calendly's API cannot be asked";
    log.error({ slot, fingerprint, fault, advice }, "calendly takes a token no more");
    await notices.add({
      type: failsOver ? "credentials.token_failed_over" : "credentials.token_dead",
      subject: fingerprint,
      message: `Calendly takes the ${slot} token no more (${fault}): ${advice}. Replace it.`,
    });
  };
}
