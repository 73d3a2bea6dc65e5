import type {
  CalendlyClient,
  NewWebhookSubscription,
  WebhookSubscription,
} from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import {
  eventsToSubscribe,
  findOwn,
  findOwner,
  HALVES,
  isActive,
  nextAddress,
  RESCHEDULED,
  type SubscriptionOwner,
} from "@calendly-worker/core/calendly/subscriptions";
import type { Config } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { webhookUrlOf } from "@calendly-worker/core/config/webhook-url";
import { Command } from "commander";
import type { CommandPorts } from "../installation.ts";
import { rotateCommand } from "./rotate.ts";
import { testCommand } from "./test-webhook.ts";

interface Json {
  readonly json?: true;
}

export function webhooksCommand(ports: CommandPorts): Command {
  return new Command("webhooks")
    .description(
      "Calendly's webhook subscriptions of this organization, or of the token's user (CALENDLY_WEBHOOK_SCOPE).",
    )
    .addCommand(listCommand(ports))
    .addCommand(registerCommand(ports))
    .addCommand(deleteCommand(ports))
    .addCommand(testCommand(ports))
    .addCommand(rotateCommand(ports));
}

function listCommand({ open, say }: CommandPorts): Command {
  return new Command("list")
    .description("Lists the subscriptions and how they are.")
    .option("--json", "print JSON")
    .action(async ({ json }: Json) => {
      const { config, openCalendly } = await open();
      const { client } = await openCalendly();
      const found: WebhookSubscription[] = [];
      for await (const subscription of client.webhookSubscriptions(await ownerOf(client, config)))
        found.push(subscription);
      if (json) return say(JSON.stringify(found.map(shown)));
      if (found.length === 0) return say("There is no subscription.");
      for (const { uri, callbackUrl, state, events, retryStartedAt } of found.map(shown)) {
        const retrying = retryStartedAt === null ? "" : `, retrying since ${retryStartedAt}`;
        say(`${uri}\n  ${state}${retrying}\n  ${callbackUrl}\n  ${events.join(", ")}`);
      }
    });
}

function registerCommand({ open, say, note }: CommandPorts): Command {
  return new Command("register")
    .description(
      "Subscribes to CALENDLY_WEBHOOK_EVENTS at CALENDLY_WEBHOOK_BASE_URL and …_ENDPOINT_PREFIX, signed with the configured key; in the place of one that Calendly has disabled.",
    )
    .option("--json", "print JSON")
    .action(async ({ json }: Json) => {
      const { config, subscriptions, fingerprintOf, openCalendly } = await open();
      const signingKey = config.CALENDLY_WEBHOOK_SIGNING_KEY;
      const url = webhookUrlOf(config);
      if (signingKey === undefined || url === undefined) {
        const name = signingKey === undefined ? "CALENDLY_WEBHOOK_SIGNING_KEY" : "CALENDLY_WEBHOOK_BASE_URL";
        throw new RefusalError("config_invalid", `${name} is not set: a subscription needs it.`);
      }
      const events = eventsToSubscribe(config.CALENDLY_WEBHOOK_EVENTS);
      if (config.CALENDLY_WEBHOOK_EVENTS.includes(RESCHEDULED)) {
        note(
          `Calendly refuses ${RESCHEDULED}: a reschedule comes as ${HALVES.join(" and ")}, which are subscribed to.`,
        );
      }
      const { client } = await openCalendly();
      const owner = await ownerOf(client, config);
      const own = await findOwn(client, owner, url);
      // None can be enabled again, and as long as one is there its address is taken.
      const address = nextAddress(url, own);
      const wish = { url: address, events, signingKey, ...owner };
      const made = own.some(isActive) ? undefined : await makeUnlessThere(client, wish);
      if (made === undefined) {
        // Whoever was faster may have made it only now.
        const there = own.find(isActive) ?? (await findOwn(client, owner, url)).find(isActive);
        if (there === undefined) throw new Error(notListed(address, owner));
        const fingerprint = (await subscriptions.signingKeys()).get(there.uri);
        const accepted = [signingKey, config.CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY].filter((key) => key !== undefined);
        const hasOtherKey = fingerprint !== undefined && !accepted.map(fingerprintOf).includes(fingerprint);
        const faults = faultsOf(there, events, hasOtherKey);
        const left = `There is a subscription for ${there.callback_url} already, and Calendly lets nobody change one: it was left as it is.`;
        if (faults.length > 0) throw new RefusalError("subscription_differs", [left, ...faults].join(" "));
        note(
          `${left} \`calendly webhooks rotate\` gives it another key; for other events, delete it and register anew.`,
        );
        if (json) say(JSON.stringify({ exists: true, callbackUrl: there.callback_url }));
        return;
      }
      await subscriptions.rememberKey(made.uri, fingerprintOf(signingKey));
      say(json ? JSON.stringify(shown(made)) : `Registered ${made.uri}\n  ${address}\n  ${events.join(", ")}`);
      for (const { uri } of own) {
        await client.deleteWebhookSubscription(uri);
        await subscriptions.forgetKey(uri);
        note(`Deleted ${uri}, which Calendly had disabled. \`calendly reconcile\` asks for what was not delivered.`);
      }
    });
}

/** Undefined where Calendly says that there is one already. */
async function makeUnlessThere(
  client: CalendlyClient,
  wish: NewWebhookSubscription,
): Promise<WebhookSubscription | undefined> {
  try {
    return await client.createWebhookSubscription(wish);
  } catch (error) {
    if (error instanceof CalendlyError && error.code === "conflict") return undefined;
    throw error;
  }
}

function notListed(address: string, { scope }: SubscriptionOwner): string {
  const other = scope === "user" ? "organization" : "user";
  return `Nothing was registered: Calendly says that ${address} has a subscription already, and lists no active one of the scope ${scope}. \`calendly webhooks list\` with CALENDLY_WEBHOOK_SCOPE=${other} shows whether it is of that.`;
}

/** In what a subscription that is there is not the one that was to be registered. */
function faultsOf({ events }: WebhookSubscription, wanted: readonly string[], hasOtherKey: boolean): string[] {
  const lacking = wanted.filter((event) => !events.includes(event));
  return [
    ...(lacking.length > 0 ? [`It does not tell of ${lacking.join(", ")}: delete it and register anew.`] : []),
    ...(hasOtherKey
      ? ["It is signed with a key that is not configured here: `calendly webhooks rotate` gives it another."]
      : []),
  ];
}

function deleteCommand({ open, say }: CommandPorts): Command {
  return new Command("delete")
    .description("Deletes a subscription. Events from then on are not delivered to it, and never again.")
    .argument("<uri>", "the subscription's URI, as `webhooks list` shows it")
    .option("--json", "print JSON")
    .action(async (uri: string, { json }: Json) => {
      const { subscriptions, openCalendly } = await open();
      const { client } = await openCalendly();
      await client.deleteWebhookSubscription(uri);
      await subscriptions.forgetKey(uri);
      say(json ? JSON.stringify({ deleted: uri }) : `Deleted ${uri}`);
    });
}

function ownerOf(client: CalendlyClient, config: Config) {
  const { CALENDLY_ORGANIZATION: organization, CALENDLY_WEBHOOK_SCOPE: scope } = config;
  return findOwner(client, { organization, scope });
}

function shown({ uri, callback_url, state, events, scope, retry_started_at, created_at }: WebhookSubscription) {
  return {
    uri,
    callbackUrl: callback_url,
    state,
    events,
    scope,
    retryStartedAt: retry_started_at ?? null,
    createdAt: created_at,
  };
}
