import type { CalendlyClient, WebhookSubscription } from "@calendly-worker/core/calendly/client";
import { CalendlyError } from "@calendly-worker/core/calendly/errors";
import type { CallOptions } from "@calendly-worker/core/calendly/requester";
import {
  findForeign,
  findOwn,
  isActive,
  judgeSubscriptions,
  newest,
  nextAddress,
  type SubscriptionOwner,
} from "@calendly-worker/core/calendly/subscriptions";
import type { JobContext } from "@calendly-worker/core/queues/consumer";
import type { Credentials } from "@calendly-worker/core/store/credentials";
import type { Notices, NoticeType } from "@calendly-worker/core/store/notices";
import type {
  SubscriptionProblem,
  SubscriptionReport,
  SubscriptionStore,
} from "@calendly-worker/core/store/subscriptions";
import type { SweepRuns } from "@calendly-worker/core/store/sweep-runs";
import type { Task } from "./maintain.ts";

/** A signing key that this process can give to Calendly. */
interface KnownKey {
  readonly fingerprint: string;
  readonly value: string;
}

/** What the guardian can find. A closed list: each is a notice, and a reason of health. */
const PROBLEM_NOTICES = {
  missing: "subscription.missing",
  disabled: "subscription.disabled",
  retrying: "subscription.retrying",
  events_differ: "subscription.events_differ",
  doubled: "subscription.doubled",
  stray: "subscription.stray",
  not_healed: "subscription.not_healed",
  silent: "deliveries.silent",
  rotation_stalled: "rotation.stalled",
} as const satisfies Record<string, NoticeType>;
export type ProblemCode = keyof typeof PROBLEM_NOTICES;

interface Problem extends SubscriptionProblem {
  readonly code: ProblemCode;
}

const MONITOR: CallOptions = { priority: "monitor" };
const ROTATION_STALLED_MS = 86_400_000;

/**
 * Looks at the webhook subscriptions of this installation, makes one anew where it may, and has what happened in the
 * dark compared with Calendly's API; judges silence, also where there is nothing to look at or Calendly does not let it
 * look. Two of it at once do no harm, nor does a person who registers meanwhile: the address of a new subscription follows from
 * those that are listed, so the second meets the first one's.
 */
export function guardSubscription(ports: {
  readonly client: CalendlyClient;
  readonly owner: (options: CallOptions) => Promise<SubscriptionOwner>;
  readonly subscriptions: SubscriptionStore;
  readonly credentials: Pick<Credentials, "lastDeliveryAt">;
  readonly runs: Pick<SweepRuns, "newestMissedAt">;
  readonly notices: Notices;
  /** Where deliveries come in, as the world sees it; undefined where it is not configured. */
  readonly webhookUrl: string | undefined;
  readonly events: readonly string[];
  readonly isHealing: boolean;
  /** The primary one first. */
  readonly signingKeys: () => Promise<readonly KnownKey[]>;
  readonly silenceMs: number;
  /** When the installation began, in ms. */
  readonly beganAt: () => number;
  /** Has all that happened since a time, ms, compared with Calendly's API, up to this very moment. */
  readonly reconcile: (darkSince: number) => Promise<void>;
  readonly now: () => number;
}): Task {
  const { client, subscriptions, credentials, runs, notices, webhookUrl, events, now } = ports;

  return async ({ log }) => {
    const refused = (err: unknown): undefined => {
      if (!(err instanceof CalendlyError)) throw err;
      log.warn({ code: err.code, err }, "could not look at the webhook subscriptions");
    };
    const before = await subscriptions.report();
    const rotation = await subscriptions.rotation();
    const isStalled = rotation !== undefined && Date.parse(rotation.startedAt) < now() - ROTATION_STALLED_MS;
    const seen =
      webhookUrl === undefined ? undefined : await look(webhookUrl, before, rotation !== undefined, log).catch(refused);
    const report = seen ?? unseen(before);
    const problems = [...report.problems, ...(isStalled ? [STALLED] : []), ...(await judgeSilence())];
    await keep(before, { ...report, problems }, log);
    const found = problems.map(({ code }) => code);
    if (seen === undefined) found.unshift(webhookUrl === undefined ? "no public address" : "could not look");
    return found.length === 0 ? "all is well" : found.join(", ");
  };

  /** During a rotation it changes nothing, and leaves alone what that rests on. */
  async function look(
    url: string,
    before: SubscriptionReport | undefined,
    isRotating: boolean,
    log: JobContext["log"],
  ): Promise<SubscriptionReport> {
    // Before the list: a key that is written down while it is asked for belongs to one that it does not show yet.
    const known = [...(await subscriptions.signingKeys()).keys()];
    const owner = await ports.owner(MONITOR);
    let own = await findOwn(client, owner, url, MONITOR);
    const foreign = await findForeign(client, owner, url, MONITOR);

    const blocked: Problem[] = [];
    const isDark = !own.some(isActive);
    const wasThere = before !== undefined && before.subscriptions.length > 0;
    const mayHeal = own.length > 0 || wasThere || (await subscriptions.lastSigningKey()) !== undefined;
    if (isDark && ports.isHealing && mayHeal && !isRotating) {
      const why = await heal(nextAddress(url, [...own, ...foreign]), own, log);
      if (why === undefined || why === EXISTS) own = await findOwn(client, owner, url, MONITOR);
      if (why !== undefined && !own.some(isActive)) {
        const message = `The webhook subscription could not be made anew: ${why}`;
        blocked.push({ code: "not_healed", subject: url, message });
      }
    }
    if (!isRotating) await clearAway(own, known);
    const isHealed = isDark && own.some(isActive);
    const problems = [...judgeSubscriptions({ url, own, foreign, events, isRotating }), ...blocked];
    // Before the report: a check that is killed in between does it again. Also where a person has mended it.
    if (own.some(isActive) && (before?.darkSince || isHealed || isReplaced(before, own))) {
      await ports.reconcile(before?.darkSince ? Date.parse(before.darkSince) : now());
    }
    return reportOf(own, problems, before);
  }

  /** What nobody can see has not become well: it is told as it was, until somebody looks. */
  function unseen(before: SubscriptionReport | undefined): SubscriptionReport {
    const darkSince = before?.darkSince ?? null;
    if (before === undefined || webhookUrl === undefined) {
      return { checkedAt: null, subscriptions: [], problems: [], darkSince };
    }
    return { ...before, problems: before.problems.filter(({ code }) => code !== "silent" && code !== STALLED.code) };
  }

  /** Makes the subscription anew with the key of the one that it replaces. Says what stood in the way. */
  async function heal(
    address: string,
    own: readonly WebhookSubscription[],
    log: JobContext["log"],
  ): Promise<string | undefined> {
    const replaced = own.length === 0 ? undefined : newest(own);
    const known = await subscriptions.signingKeys();
    const wanted = (replaced && known.get(replaced.uri)) ?? (await subscriptions.lastSigningKey());
    const signingKeys = await ports.signingKeys();
    const key = wanted === undefined ? signingKeys[0] : signingKeys.find(({ fingerprint }) => fingerprint === wanted);
    if (key === undefined) {
      return "the worker has not the signing key of the one before in CALENDLY_WEBHOOK_SIGNING_KEY or …_SECONDARY.";
    }
    try {
      const wish = { ...(await ports.owner(MONITOR)), url: address, events, signingKey: key.value };
      const made = await client.createWebhookSubscription(wish, MONITOR);
      await subscriptions.rememberKey(made.uri, key.fingerprint);
      log.warn({ subscription: made.uri, address }, "made the webhook subscription anew");
      const message = `The webhook subscription was made anew as ${made.uri}. What happened in the dark is being asked for.`;
      await notices.add({ type: "subscription.healed", subject: made.uri, message });
      return undefined;
    } catch (error) {
      if (!(error instanceof CalendlyError)) throw error;
      return error.code === "conflict" ? EXISTS : error.message;
    }
  }

  /** Deletes the disabled ones that were replaced, and forgets the keys of those that are not there any more. */
  async function clearAway(own: WebhookSubscription[], known: readonly string[]): Promise<void> {
    if (ports.isHealing && own.some(isActive)) {
      for (const left of own.filter((subscription) => !isActive(subscription))) {
        // One that cannot be deleted is told as left over, and tried again.
        if (await isDeleted(left)) own.splice(own.indexOf(left), 1);
      }
    }
    const there = new Set(own.map(({ uri }) => uri));
    for (const uri of known) {
      if (!there.has(uri)) await subscriptions.forgetKey(uri);
    }
  }

  async function isDeleted({ uri }: WebhookSubscription): Promise<boolean> {
    try {
      await client.deleteWebhookSubscription(uri, MONITOR);
      return true;
    } catch (error) {
      if (!(error instanceof CalendlyError)) throw error;
      return error.code === "not_found";
    }
  }

  /** Nobody delivers for long, and that is no quiet day: Calendly's API knows of something newer. */
  async function judgeSilence(): Promise<Problem[]> {
    const lastAt = (await credentials.lastDeliveryAt()) ?? ports.beganAt();
    const missedAt = await runs.newestMissedAt();
    if (now() - lastAt < ports.silenceMs || missedAt === undefined || missedAt < lastAt) return [];
    const since = new Date(lastAt).toISOString();
    const message = `No delivery has been verified since ${since}, while Calendly's API knows of newer bookings.`;
    return [{ code: "silent", subject: "deliveries", message }];
  }

  function reportOf(
    own: readonly WebhookSubscription[],
    problems: readonly Problem[],
    before: SubscriptionReport | undefined,
  ): SubscriptionReport {
    const checkedAt = new Date(now()).toISOString();
    return {
      checkedAt,
      subscriptions: own.map((subscription) => ({
        uri: subscription.uri,
        state: subscription.state,
        callbackUrl: subscription.callback_url,
        // Calendly repeats nothing for one that is disabled, whatever it says of its repeating.
        retryStartedAt: (isActive(subscription) ? subscription.retry_started_at : undefined) ?? null,
      })),
      problems,
      darkSince: own.some(isActive) ? null : (before?.darkSince ?? checkedAt),
    };
  }

  /** Tells what is new, and keeps the report last: a check that is killed before says it again rather than never. */
  async function keep(before: SubscriptionReport | undefined, report: SubscriptionReport, log: JobContext["log"]) {
    const isOld = ({ code, subject, message }: SubscriptionProblem) =>
      before?.problems.some(
        (known) =>
          known.code === code && known.subject === subject && (code !== "retrying" || known.message === message),
      );
    for (const { code, subject, message } of report.problems.filter((problem) => !isOld(problem))) {
      log.warn({ event: "subscription_problem", problem: code, subject }, message);
      await notices.add({ type: PROBLEM_NOTICES[code as ProblemCode], subject, message });
    }
    await subscriptions.keepReport(report);
  }
}

/** Another worker was faster, or so it should be. */
const EXISTS = "Calendly says that the next address has a subscription already, and does not list it.";

const STALLED: Problem = {
  code: "rotation_stalled",
  subject: "rotation",
  message:
    "A rotation of the signing key was begun over a day ago and is not finished; the subscription is looked at and not mended meanwhile. " +
    "Go on with `calendly webhooks rotate`, or give it up with --abort.",
};

/** Whether none of those that delivered at the last look still does: between the two nothing may have been delivered. */
function isReplaced(before: SubscriptionReport | undefined, own: readonly WebhookSubscription[]): boolean {
  const delivering = (before?.subscriptions ?? []).filter(({ state }) => state === "active").map(({ uri }) => uri);
  return (
    delivering.length > 0 &&
    !own.some((subscription) => isActive(subscription) && delivering.includes(subscription.uri))
  );
}
