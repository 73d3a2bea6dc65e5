import { type Config, ConfigError } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { findWriteRefusal } from "@calendly-worker/core/redis/write-refusal";
import type { CommandPorts, Installation } from "../installation.ts";
import { type Finding, fault, ok, PATIENCE_MS, type Within } from "./finding.ts";
import { lookAtCalendly, lookAtCalendlysClock } from "./look-at-calendly.ts";
import { lookAtDeployment, lookAtProcesses } from "./look-at-installation.ts";
import { lookAtDestinations, lookAtQueues } from "./look-at-queues.ts";
import { lookAtRedis } from "./look-at-redis.ts";
import { lookAtAccess, lookAtKeys, lookAtPublicAddress, lookAtTimeZones } from "./look-at-settings.ts";

/** Looks at everything that an installation needs. Never rejects: what cannot be looked at is a finding. */
export async function examine({ settings, open }: Pick<CommandPorts, "settings" | "open">): Promise<Finding[]> {
  let config: Config;
  try {
    config = settings();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => fault("settings", problem, "Correct it in the environment or in .env."));
  }
  const local = [
    ok("settings", "All settings can be read."),
    lookAtTimeZones(),
    ...lookAtKeys(config),
    ...lookAtAccess(config),
  ];
  let installation: Installation;
  try {
    installation = await open();
  } catch (error) {
    return [...local, unreachable(error)];
  }
  const within = createWithin();
  const found = await Promise.all([
    within("redis", lookAtRedis(installation)),
    within("installation", lookAtDeployment(installation)),
    within("processes", lookAtProcesses(installation)),
    within("queues", lookAtQueues(installation)),
    within("destinations", lookAtDestinations(installation)),
    within("calendly's clock", lookAtCalendlysClock(installation)),
    lookAtCalendly(installation, within),
    within("public address", lookAtPublicAddress(config)),
  ]);
  return [...local, ...found.flat()];
}

/** For looks that begin from now on: all of them end when the same time is up. */
function createWithin(): Within {
  const end = performance.now() + PATIENCE_MS;
  return async (check, looking, what) => {
    const say = (message: string, advice: string) => [
      fault(check, what === undefined ? message : `${what}: ${message}`, advice),
    ];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Finding[]>((resolve) => {
      const unanswered = say(
        `There was no answer within ${PATIENCE_MS / 1_000} s.`,
        "Look whether it is overloaded or unreachable.",
      );
      timer = setTimeout(() => resolve(unanswered), Math.max(0, end - performance.now()));
    });
    const failed = (error: unknown) =>
      say(
        error instanceof Error ? error.message : String(error),
        findWriteRefusal(error)?.remedy ?? "See the message.",
      );
    return await Promise.race([looking.catch(failed), late]).finally(() => clearTimeout(timer));
  };
}

function unreachable(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error);
  const otherwise = error instanceof RefusalError ? "See the message." : "Start Redis, or correct REDIS_URL.";
  return fault("redis", message, findWriteRefusal(error)?.remedy ?? otherwise);
}
