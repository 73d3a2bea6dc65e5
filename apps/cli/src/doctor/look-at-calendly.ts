import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { ApiToken } from "@calendly-worker/core/calendly/gate";
import {
  eventsToSubscribe,
  findForeign,
  findOwn,
  findOwner,
  isActive,
  judgeSubscriptions,
} from "@calendly-worker/core/calendly/subscriptions";
import { lackingScopes } from "@calendly-worker/core/calendly/token-scopes";
import type { Config } from "@calendly-worker/core/config/load";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { readApiBudget } from "@calendly-worker/core/store/api-budget";
import type { Installation } from "../installation.ts";
import { type Finding, fault, judgeSkew, ok, PATIENCE_MS, type Within, warning } from "./finding.ts";

export async function lookAtCalendlysClock({ config }: Installation): Promise<Finding[]> {
  const check = "calendly's clock";
  const url = config.CALENDLY_API_BASE_URL;
  try {
    const response = await fetch(`${url.replace(/\/$/, "")}/users/me`, {
      redirect: "manual",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const date = Date.parse(response.headers.get("date") ?? "");
    await response.body?.cancel();
    if (Number.isNaN(date)) return [warning(check, "Calendly's answer has no time.", "Check CALENDLY_API_BASE_URL.")];
    return [judgeSkew(check, "Calendly", Math.abs(Date.now() - date))];
  } catch {
    return [fault(check, `${url} cannot be reached.`, "Check the way to the internet, and CALENDLY_API_BASE_URL.")];
  }
}

/** Each question has an end of its own, so that what was answered is told although something else was not. */
export async function lookAtCalendly(installation: Installation, within: Within): Promise<Finding[]> {
  const { config, redis } = installation;
  if (config.CALENDLY_API_TOKEN === undefined) {
    return [fault("token", "CALENDLY_API_TOKEN is not set.", "Make a personal access token in Calendly's web pages.")];
  }
  const { client, gate } = await installation.openCalendly({ patienceMs: 0 });
  // Before anything is asked, which takes of it.
  const budget = await within("rate limit", lookAtBudget(redis));
  const looked = gate.tokens.map((token) => within("token", lookAtToken(client, token), nameOf(token)));
  const findings = [...budget, ...(await Promise.all(looked)).flat()];
  if (findings.some(({ check, status }) => check === "token" && status === "fault")) return findings;
  const tried = await Promise.all([
    within("organization", lookAtOwner(installation, client)),
    lookAtEventTypes(config, client, within),
  ]);
  return [...findings, ...tried.flat()];
}

async function lookAtBudget(redis: Installation["redis"]): Promise<Finding[]> {
  const { isUsedUp } = await readApiBudget(redis, Date.now());
  if (!isUsedUp) return [ok("rate limit", "There is budget left.")];
  const advice = "Wait a minute. If it is so often, compare less often (CALENDLY_RECONCILE_…).";
  return [warning("rate limit", "The budget of requests is used up for now.", advice)];
}

const nameOf = ({ slot }: ApiToken) => `CALENDLY_API_TOKEN${slot === "secondary" ? "_SECONDARY" : ""}`;

type Client = Awaited<ReturnType<Installation["openCalendly"]>>["client"];

async function lookAtToken(client: Client, token: ApiToken): Promise<Finding[]> {
  const name = nameOf(token);
  try {
    const user = await client.currentUser({ token });
    const lacking = await lackingScopes(client, { token, user, priority: "live", now: Date.now() });
    if (lacking.length === 0) return [ok("token", `${name} works, with all scopes that are read.`)];
    const advice = "Make a token that has them; scopes of an existing one cannot be changed.";
    return [fault("scopes", `${name} lacks ${lacking.join(", ")}.`, advice)];
  } catch (error) {
    if (!(error instanceof CalendlyError)) throw error;
    const isDead = error.code === "unauthenticated";
    const advice = isDead ? "Make a new token in Calendly's web pages, and set it." : "Try again; see the message.";
    return [fault("token", `${name}: ${error.message}`, advice)];
  }
}

async function lookAtOwner({ config, subscriptions }: Installation, client: Client): Promise<Finding[]> {
  const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
  const url = webhookUrlOf(config);
  try {
    const owner = await findOwner(client, { organization, scope });
    const findings = [ok("organization", `The token may look at the ${scope}'s subscriptions.`)];
    if (url === undefined) return findings;
    const [own, foreign] = await Promise.all([findOwn(client, owner, url), findForeign(client, owner, url)]);
    const events = eventsToSubscribe(config.CALENDLY_WEBHOOK_EVENTS);
    // Whoever deleted one of its two now would take what a rotation rests on.
    const isRotating = (await subscriptions.rotation()) !== undefined;
    const faults = judgeSubscriptions({ url, own, foreign, events, isRotating });
    for (const { code, message } of faults) {
      const isGrave = code === "missing" || code === "disabled";
      findings.push((isGrave ? fault : warning)("subscription", message, SUBSCRIPTION_ADVICE[code]));
    }
    if (faults.length === 0) findings.push(ok("subscription", `${own.find(isActive)?.uri} is active.`));
    return findings;
  } catch (error) {
    if (!(error instanceof CalendlyError)) throw error;
    if (error.code === "insufficient_scope") {
      return [fault("scopes", error.message, "Make a token that has the scope webhooks:write.")];
    }
    if (error.code !== "permission_denied") throw error;
    const message = `The token may not look at the ${scope}'s subscriptions${organization === undefined ? "" : ` of ${organization}`}.`;
    const advice =
      "Use the token of an owner or admin of the organization that CALENDLY_ORGANIZATION names, or set CALENDLY_WEBHOOK_SCOPE=user.";
    return [fault("organization", message, advice)];
  }
}

const SUBSCRIPTION_ADVICE = {
  missing: "`calendly webhooks register` makes one.",
  disabled:
    "`calendly webhooks register` replaces it, then `calendly reconcile`; or set CALENDLY_SUBSCRIPTION_AUTOHEAL=true.",
  retrying: "Look at the ingest's log why deliveries fail.",
  events_differ: "`calendly webhooks delete` and `register`, then `calendly reconcile`.",
  doubled: "`calendly webhooks list` shows them, `webhooks delete` deletes one.",
  stray: "`calendly webhooks delete` deletes it.",
} as const;

async function lookAtEventTypes(
  { CALENDLY_EVENT_TYPES: wanted }: Config,
  client: Client,
  within: Within,
): Promise<Finding[]> {
  if (wanted === undefined) return [ok("event types", "All event types are handled.")];
  const looked = wanted.map((name) => within("event types", lookAtEventType(name, client), name));
  const findings = (await Promise.all(looked)).flat();
  return findings.length > 0 ? findings : [ok("event types", `All ${wanted.length} are active.`)];
}

/** What is wrong with one, or that it could not be looked at. */
async function lookAtEventType(name: string, client: Client): Promise<Finding[]> {
  const uri = name.includes("/") ? name : `https://api.calendly.com/event_types/${name}`;
  const advice = "Correct CALENDLY_EVENT_TYPES, or switch the event type on in Calendly.";
  try {
    const { active, deleted_at } = await client.eventType(uri);
    if (!deleted_at && active !== false) return [];
    return [fault("event types", `${name} is ${deleted_at ? "deleted" : "not active"} at Calendly.`, advice)];
  } catch (error) {
    if (!(error instanceof CalendlyError)) throw error;
    if (error.code === "insufficient_scope") {
      const message = `${name} could not be looked at: ${error.message}.`;
      return [warning("event types", message, "Make a token that has the scope event_types:read.")];
    }
    const why = error.code === "not_found" ? "Calendly does not know it" : error.message;
    return [fault("event types", `${name}: ${why}.`, advice)];
  }
}
