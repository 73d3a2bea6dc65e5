import { setTimeout as pause } from "node:timers/promises";
import {
  createQueueOperations,
  type FailedJob,
  QUEUE_NAMES,
  type QueueCounts,
  type QueueOperations,
} from "@calendly-worker/core/queues/operations";
import type { Audit } from "@calendly-worker/core/store/audit";
import { Command, Option } from "commander";
import type { CommandPorts } from "../installation.ts";
import { tellMissing } from "../named.ts";
import { wholeOf } from "../options.ts";
import { pausedWarning } from "../paused.ts";
import { whoRunsThis } from "../who.ts";

interface Json {
  readonly json?: true;
}

const queueOption = () => new Option("--queue <name>", "which queue").choices(QUEUE_NAMES).default("deliveries");

export function queueCommand(ports: CommandPorts): Command {
  const { open, say, note } = ports;

  /** Every answer about the queues begins with what is easily forgotten. */
  async function withQueues<T>(act: (queues: QueueOperations, audit: Audit) => Promise<T>): Promise<T> {
    const installation = await open();
    const queues = createQueueOperations(installation);
    try {
      const result = await act(queues, installation.audit);
      for (const { queue, isPaused } of await queues.counts()) {
        if (isPaused) note(pausedWarning(queue));
      }
      return result;
    } finally {
      await queues.close();
    }
  }

  const failed = new Command("failed")
    .description("Lists the jobs that were given up, and why.")
    .option("--json", "print JSON")
    .action(async ({ json }: Json) => {
      const jobs = await withQueues((queues) => queues.failed());
      if (json) return say(JSON.stringify(jobs));
      if (jobs.length === 0) return say("No job has failed.");
      for (const { queue, id, name, identity, reason, attempts, failedAt } of jobs) {
        say(`${id}\n  ${queue}: ${name}${identity === null ? "" : ` (${identity})`}`);
        say(`  given up ${failedAt ?? "at an unknown time"} after ${attempts} tries: ${reason}`);
      }
    });

  /** Does something to the failed jobs that are named, or to all; gives to how many. */
  async function withChosen(
    ids: readonly string[],
    all: true | undefined,
    act: (queues: QueueOperations, isWanted: (job: FailedJob) => boolean) => Promise<number>,
  ): Promise<number> {
    if (ids.length > 0 === (all === true)) throw new Error("expected ids or --all: one of the two");
    const failedIds = new Set<string>();
    const isWanted = ({ id }: FailedJob) => {
      failedIds.add(id);
      return all === true || ids.includes(id);
    };
    const count = await withQueues((queues) => act(queues, isWanted));
    tellMissing(ports, ids, failedIds, "failed jobs");
    return count;
  }

  const choosing = (command: Command) =>
    command
      .argument("[id...]", "the jobs, as `queue failed` gives them")
      .option("--all", "all there are")
      .option("--json", "print JSON");

  const retry = choosing(new Command("retry"))
    .description("Lets jobs that were given up be tried again, with all their tries.")
    .action(async (ids: string[], { all, json }: Json & { all?: true }) => {
      const count = await withChosen(ids, all, (queues, isWanted) => queues.retry(isWanted));
      say(json ? JSON.stringify({ retried: count }) : `${count} jobs are tried again.`);
    });

  const drop = choosing(new Command("drop"))
    .description("Deletes jobs that were given up. They cannot be had again.")
    .option("--dry-run", "only say how many would be dropped")
    .action(async (ids: string[], { all, dryRun = false, json }: Json & { all?: true; dryRun?: boolean }) => {
      const count = await withChosen(ids, all, async (queues, isWanted) =>
        dryRun ? (await queues.failed()).filter(isWanted).length : await queues.drop(isWanted),
      );
      if (json) return say(JSON.stringify({ dropped: count, dryRun }));
      say(`${count} jobs ${dryRun ? "would be" : "are"} dropped.`);
    });

  const hold = (verb: "pause" | "resume", description: string, done: string) =>
    new Command(verb)
      .description(description)
      .addOption(queueOption())
      .option("--json", "print JSON")
      .action(async ({ queue, json }: Json & { queue: string }) => {
        await withQueues(async (queues, audit) => {
          // Before it is done, as on the dashboard: nothing is done without a trace.
          await audit.note({ who: whoRunsThis(), action: `queue.${verb}`, subject: queue });
          await queues[verb](queue);
        });
        say(json ? JSON.stringify({ queue, paused: verb === "pause" }) : `The queue ${queue} ${done}.`);
      });

  const drainPlan = new Command("drain-plan")
    .description("Watches the queues for a while and says when they will be empty at that pace.")
    .option("--seconds <seconds>", "how long to watch", wholeOf, 5)
    .option("--json", "print JSON")
    .action(async ({ seconds, json }: Json & { seconds: number }) => {
      const plan = await withQueues(async (queues) => {
        // What is done again and again waits for its time, and never drains.
        const drainable = async () => (await queues.counts()).filter(({ queue }) => queue !== "maintenance");
        const before = await drainable();
        const from = performance.now();
        await pause(seconds * 1_000);
        const after = await drainable();
        return after.map((now, index) => planOf(before[index] ?? now, now, (performance.now() - from) / 1_000));
      });
      if (json) return say(JSON.stringify(plan));
      for (const { queue, pending, perSecond, emptyInSeconds } of plan) {
        const pace =
          perSecond === 0
            ? "not changing"
            : `${perSecond > 0 ? "shrinking" : "growing"} by ${Math.abs(perSecond)} a second`;
        const when =
          pending === 0
            ? "empty"
            : emptyInSeconds === null
              ? `${pending} pending, ${pace}`
              : `${pending} pending, ${pace}, empty in about ${emptyInSeconds} s`;
        say(`${queue.padEnd(18)} ${when}`);
      }
    });

  const status = new Command("status")
    .description("Counts the jobs of every queue.")
    .option("--json", "print JSON")
    .action(async ({ json }: Json) => {
      const counts = await withQueues((queues) => queues.counts());
      if (json) return say(JSON.stringify(counts));
      say(
        `${"queue".padEnd(18)} ${["waiting", "active", "delayed", "failed"].map((name) => name.padStart(8)).join("")}`,
      );
      for (const { queue, waiting, active, delayed, failed: gone } of counts) {
        say(
          `${queue.padEnd(18)} ${[waiting, active, delayed, gone].map((count) => String(count).padStart(8)).join("")}`,
        );
      }
    });

  return new Command("queue")
    .description("What waits, what was given up, and holding it up.")
    .addCommand(status)
    .addCommand(failed)
    .addCommand(retry)
    .addCommand(drop)
    .addCommand(
      hold(
        "pause",
        "Stops taking up jobs, and is written down. What Calendly delivers is kept meanwhile.",
        "is paused: what comes is kept, and nothing is taken up",
      ),
    )
    .addCommand(hold("resume", "Lets a paused queue go on, and is written down.", "goes on"))
    .addCommand(drainPlan);
}

/** At the net pace: what came meanwhile counts. */
function planOf(before: QueueCounts, after: QueueCounts, seconds: number) {
  const pendingOf = ({ waiting, active, delayed }: QueueCounts) => waiting + active + delayed;
  const pending = pendingOf(after);
  const perSecond = seconds === 0 ? 0 : Math.round(((pendingOf(before) - pending) / seconds) * 10) / 10;
  const emptyInSeconds = pending === 0 ? 0 : perSecond > 0 ? Math.ceil(pending / perSecond) : null;
  return { queue: after.queue, pending, perSecond, emptyInSeconds };
}
