import { OWN_EVENTS } from "@calendly-worker/core/calendly/deliveries";
import type { Config } from "@calendly-worker/core/config/load";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { faultOf, fragileJson, post } from "../public-address.ts";
import { type Finding, fault, ok, warning } from "./finding.ts";

/** One of each kind: a place, an old alias, and a half hour. */
const ZONES = ["America/New_York", "Asia/Calcutta", "Australia/Adelaide"];

export function lookAtTimeZones(): Finding {
  const lacking = ZONES.filter((timeZone) => {
    try {
      new Intl.DateTimeFormat("en", { timeZone });
      return false;
    } catch {
      return true;
    }
  });
  if (lacking.length === 0) return ok("time zones", "Time zone data are there.");
  return fault("time zones", `There are no data for ${lacking.join(", ")}.`, "Use a Node.js with full ICU data.");
}

export function lookAtKeys(config: Config): Finding[] {
  const [primary, secondary] = [config.CALENDLY_WEBHOOK_SIGNING_KEY, config.CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY];
  if (primary === undefined) {
    const advice = "Set it to the key that the subscription was made with, or make one: `openssl rand -hex 32`.";
    return [fault("signing key", "CALENDLY_WEBHOOK_SIGNING_KEY is not set.", advice)];
  }
  if (primary === secondary) {
    const advice = "Set CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY to another key, or to nothing.";
    return [warning("signing key", "Both signing keys are the same.", advice)];
  }
  return [ok("signing key", "A signing key is configured.")];
}

/** Without these nobody is let in: not Prometheus, and no person. */
const ACCESS = [
  ["METRICS_TOKEN", "Prometheus gets no metrics, so that no alert can come"],
  ["OPS_API_TOKEN", "nobody may open /ops, nor see why health is degraded"],
] as const;

export function lookAtAccess(config: Config): Finding[] {
  const lacking = ACCESS.filter(([name]) => config[name] === undefined);
  if (lacking.length === 0) return [ok("access", "The metrics and /ops have their tokens.")];
  return lacking.map(([name, consequence]) =>
    warning("access", `${name} is not set: ${consequence}.`, "Make one: `openssl rand -hex 32`, and restart the apps."),
  );
}

export async function lookAtPublicAddress(config: Config): Promise<Finding[]> {
  const check = "public address";
  const [url, key] = [webhookUrlOf(config), config.CALENDLY_WEBHOOK_SIGNING_KEY];
  if (url === undefined) {
    return [
      fault(
        check,
        "CALENDLY_WEBHOOK_BASE_URL is not set.",
        "Set it to the address that Calendly reaches the ingest under.",
      ),
    ];
  }
  if (key === undefined) return [];
  // Genuine, and of a type that nobody handles: it is answered, and changes nothing.
  const body = fragileJson({
    event: `${OWN_EVENTS}doctor`,
    created_at: new Date().toISOString(),
    created_by: null,
    payload: {},
  });
  const found = faultOf(await post(url, key, body), url);
  return [
    found === undefined
      ? ok(check, `${url} takes what is signed, byte by byte.`)
      : fault(check, found.message, found.advice),
  ];
}
