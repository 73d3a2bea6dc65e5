import { OWN_EVENTS } from "@calendly-worker/core/calendly/deliveries";
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
import { type Config, ConfigError } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { createQueueOperations } from "@calendly-worker/core/queues/operations";
import { checkRedisSafety } from "@calendly-worker/core/redis/safety";
import { readApiBudget } from "@calendly-worker/core/store/api-budget";
import { liveInstances } from "@calendly-worker/core/store/instances";
import type { CommandPorts, Installation } from "./installation.ts";
import { faultOf, fragileJson, post } from "./public-address.ts";

/** What one look found. `advice` says the way out; there where it is not ok. */
export interface Finding {
  readonly check: string;
  readonly status: "ok" | "warning" | "fault";
  readonly message: string;
  readonly advice?: string;
}

const MOST_SKEW_MS = 30_000;
const PATIENCE_MS = 4_500;
/** One of each kind: a place, an old alias, and a half hour. */
const ZONES = ["America/New_York", "Asia/Calcutta", "Australia/Adelaide"];

const ok = (check: string, message: string): Finding => ({ check, status: "ok", message });
const fault = (check: string, message: string, advice: string): Finding => ({
  check,
  status: "fault",
  message,
  advice,
});
const warning = (check: string, message: string, advice: string): Finding => ({
  check,
  status: "warning",
  message,
  advice,
});

/** Looks at everything that an installation needs. Never rejects: what cannot be looked at is a finding. */
export async function examine({ settings, open }: Pick<CommandPorts, "settings" | "open">): Promise<Finding[]> {
  let config: Config;
  try {
    config = settings();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => fault("settings", problem, "Correct it in the environment or in .env."));
  }
  const local = [ok("settings", "All settings can be read."), lookAtTimeZones(), ...lookAtKeys(config)];
  let installation: Installation;
  try {
    installation = await open();
  } catch (error) {
    return [...local, unreachable(error)];
  }
  const found = await Promise.all([
    within("redis", lookAtRedis(installation)),
    within("processes", lookAtProcesses(installation)),
    within("queues", lookAtQueues(installation)),
    within("calendly's clock", lookAtCalendlysClock(installation)),
    within("calendly", lookAtCalendly(installation)),
    within("public address", lookAtPublicAddress(config)),
  ]);
  return [...local, ...found.flat()];
}

async function within(check: string, looking: Promise<Finding[]>): Promise<Finding[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    const message = `There was no answer within ${PATIENCE_MS / 1_000} s.`;
    timer = setTimeout(
      () => resolve([fault(check, message, "Look whether it is overloaded or unreachable.")]),
      PATIENCE_MS,
    );
  });
  const failed = (error: unknown) => [
    fault(check, error instanceof Error ? error.message : String(error), "See the message."),
  ];
  return await Promise.race([looking.catch(failed), late]).finally(() => clearTimeout(timer));
}

function lookAtTimeZones(): Finding {
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

function lookAtKeys(config: Config): Finding[] {
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

function unreachable(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  const advice = error instanceof RefusalError ? "See the message." : "Start Redis, or correct REDIS_URL.";
  return fault("redis", message, advice);
}

async function lookAtRedis({ config, redis }: Installation): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    await checkRedisSafety(redis, config.REDIS_ALLOW_UNSAFE ?? []);
    findings.push(ok("redis", "Redis is reachable and safe to keep deliveries in."));
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    findings.push(fault("redis", error.message, "Change the settings of Redis as the message says."));
  }
  const [seconds, microseconds] = await redis.time();
  const skewMs = Math.abs(Date.now() - (Number(seconds) * 1_000 + Number(microseconds) / 1_000));
  findings.push(judgeSkew("redis' clock", "Redis", skewMs));
  return findings;
}

function judgeSkew(check: string, whose: string, skewMs: number): Finding {
  if (skewMs <= MOST_SKEW_MS) return ok(check, `This clock and that of ${whose} agree.`);
  const message = `This clock and that of ${whose} differ by ${Math.round(skewMs / 1_000)} s.`;
  return fault(check, message, "Synchronize the clock (NTP): signatures are refused when it is wrong.");
}

async function lookAtProcesses({
  config,
  redis,
  credentials,
  subscriptions,
  fingerprintOf,
}: Installation): Promise<Finding[]> {
  const findings: Finding[] = [];
  const [ingests, workers] = [await liveInstances(redis, "ingest"), await liveInstances(redis, "worker")];
  findings.push(
    workers.length > 0
      ? ok("workers", `${workers.length} alive.`)
      : fault(
          "workers",
          "No worker is alive: what is delivered is kept, and nothing becomes of it.",
          "Start one: `pnpm start:worker`.",
        ),
    ingests.length > 0
      ? ok("ingests", `${ingests.length} alive.`)
      : fault("ingests", "No ingest is alive: Calendly's deliveries fail.", "Start one: `pnpm start:ingest`."),
  );
  const key = config.CALENDLY_WEBHOOK_SIGNING_KEY;
  const unaware = ingests.filter(({ signingKeys }) => key !== undefined && !signingKeys.includes(fingerprintOf(key)));
  if (unaware.length > 0) {
    const message = `${unaware.length} of ${ingests.length} ingests do not accept the signing key that is configured here.`;
    findings.push(fault("signing key", message, "Give all apps the same keys, and restart them."));
  }
  const accepted = new Set(ingests.flatMap(({ signingKeys }) => signingKeys));
  const lacking = [...(await subscriptions.signingKeys()).values()].filter((fingerprint) => !accepted.has(fingerprint));
  if (ingests.length > 0 && lacking.length > 0) {
    const message = `No ingest accepts the key ${lacking.join(", ")} of a live subscription.`;
    findings.push(fault("signing key", message, "Restore that key as CALENDLY_WEBHOOK_SIGNING_KEY or …_SECONDARY."));
  }
  const lastAt = await credentials.lastDeliveryAt();
  findings.push(
    lastAt === undefined
      ? warning("deliveries", "No delivery has been verified yet.", "Make a booking, or run `calendly verify`.")
      : ok("deliveries", `The last one was verified ${new Date(lastAt).toISOString()}.`),
  );
  return findings;
}

async function lookAtQueues(installation: Installation): Promise<Finding[]> {
  const queues = createQueueOperations(installation);
  try {
    const counts = await queues.counts();
    const paused = counts.filter(({ isPaused }) => isPaused).map(({ queue }) => queue);
    const failed = counts.reduce((sum, { failed: count }) => sum + count, 0);
    const kept = await installation.quarantine.count();
    const findings: Finding[] = [];
    if (paused.length > 0) {
      const advice = paused.map((queue) => `\`calendly queue resume --queue ${queue}\``).join(", ");
      findings.push(fault("queues", `Paused: ${paused.join(", ")}.`, `${advice} lets it go on.`));
    }
    if (failed > 0)
      findings.push(
        warning(
          "queues",
          `${failed} jobs have been given up.`,
          "`calendly queue failed` says why, `queue retry` tries again.",
        ),
      );
    if (kept > 0)
      findings.push(
        warning("quarantine", `${kept} deliveries are in quarantine.`, "`calendly quarantine list` says why."),
      );
    return findings.length > 0 ? findings : [ok("queues", "Nothing is paused, given up or in quarantine.")];
  } finally {
    await queues.close();
  }
}

async function lookAtCalendlysClock({ config }: Installation): Promise<Finding[]> {
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

async function lookAtCalendly(installation: Installation): Promise<Finding[]> {
  const { config, redis } = installation;
  if (config.CALENDLY_API_TOKEN === undefined) {
    return [fault("token", "CALENDLY_API_TOKEN is not set.", "Make a personal access token in Calendly's web pages.")];
  }
  const { client, gate } = await installation.openCalendly({ patienceMs: 0 });
  const budget = await readApiBudget(redis, Date.now());
  const findings = [
    budget.isUsedUp
      ? warning(
          "rate limit",
          "The budget of requests is used up for now.",
          "Wait a minute. If it is so often, compare less often (CALENDLY_RECONCILE_…).",
        )
      : ok("rate limit", "There is budget left."),
  ];
  for (const token of gate.tokens) findings.push(...(await lookAtToken(client, token)));
  if (findings.some(({ check, status }) => check === "token" && status === "fault")) return findings;
  const tried = await Promise.all([lookAtOwner(config, client), lookAtEventTypes(config, client)]);
  return [...findings, ...tried.flat()];
}

type Client = Awaited<ReturnType<Installation["openCalendly"]>>["client"];

async function lookAtToken(client: Client, token: ApiToken): Promise<Finding[]> {
  const name = `CALENDLY_API_TOKEN${token.slot === "secondary" ? "_SECONDARY" : ""}`;
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

async function lookAtOwner(config: Config, client: Client): Promise<Finding[]> {
  const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
  const url = webhookUrlOf(config);
  try {
    const owner = await findOwner(client, { organization, scope });
    const own = url === undefined ? [] : await findOwn(client, owner, url);
    const findings = [ok("organization", `The token may look at the ${scope}'s subscriptions.`)];
    if (url === undefined) return findings;
    const foreign = await findForeign(client, owner, url);
    const events = eventsToSubscribe(config.CALENDLY_WEBHOOK_EVENTS);
    const faults = judgeSubscriptions({ url, own, foreign, events });
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
    "`calendly webhooks delete` and `register`, then `calendly reconcile`; or set CALENDLY_SUBSCRIPTION_AUTOHEAL=true.",
  retrying: "Look at the ingest's log why deliveries fail.",
  events_differ: "`calendly webhooks delete` and `register`, then `calendly reconcile`.",
  doubled: "`calendly webhooks list` shows them, `webhooks delete` deletes one.",
  stray: "`calendly webhooks delete` deletes it.",
} as const;

async function lookAtEventTypes({ CALENDLY_EVENT_TYPES: wanted }: Config, client: Client): Promise<Finding[]> {
  if (wanted === undefined) return [ok("event types", "All event types are handled.")];
  const findings: Finding[] = [];
  for (const name of wanted) {
    const uri = name.includes("/") ? name : `https://api.calendly.com/event_types/${name}`;
    const advice = "Correct CALENDLY_EVENT_TYPES, or switch the event type on in Calendly.";
    try {
      const { active, deleted_at } = await client.eventType(uri);
      if (deleted_at || active === false) {
        findings.push(fault("event types", `${name} is ${deleted_at ? "deleted" : "not active"} at Calendly.`, advice));
      }
    } catch (error) {
      if (!(error instanceof CalendlyError)) throw error;
      if (error.code === "insufficient_scope") continue;
      findings.push(
        fault(
          "event types",
          `${name}: ${error.code === "not_found" ? "Calendly does not know it" : error.message}.`,
          advice,
        ),
      );
    }
  }
  return findings.length > 0 ? findings : [ok("event types", `All ${wanted.length} are active.`)];
}

async function lookAtPublicAddress(config: Config): Promise<Finding[]> {
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
