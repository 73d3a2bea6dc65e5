import { readEnvironment } from "@calendly-worker/core/config/environment";
import { loadConfig } from "@calendly-worker/core/config/load";
import { RefusalError } from "@calendly-worker/core/config/refusal";
import { createLifecycle } from "@calendly-worker/core/lifecycle/lifecycle";
import { requireNode } from "@calendly-worker/core/lifecycle/node-version";
import { EXIT } from "@calendly-worker/core/lifecycle/run-app";
import { findWriteRefusal } from "@calendly-worker/core/redis/write-refusal";
import { createLogger } from "@calendly-worker/core/telemetry/logger";
import { Command } from "commander";
import { backfillCommand } from "./commands/backfill.ts";
import { bookingsCommand } from "./commands/bookings.ts";
import { destinationsCommand } from "./commands/destinations.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { eraseCommand } from "./commands/erase.ts";
import { incompleteCommand } from "./commands/incomplete.ts";
import { outcomesCommand } from "./commands/outcomes.ts";
import { quarantineCommand } from "./commands/quarantine.ts";
import { queueCommand } from "./commands/queue.ts";
import { reconcileCommand } from "./commands/reconcile.ts";
import { tokensCommand } from "./commands/tokens.ts";
import { verifyCommand } from "./commands/verify.ts";
import { webhooksCommand } from "./commands/webhooks.ts";
import { openInstallation } from "./installation.ts";

// What a person runs. Results go to standard output, everything else to standard error.

const log = createLogger({ app: "cli", level: "silent" });
const lifecycle = createLifecycle(log);
const ports = {
  open: () => openInstallation(ports.settings(), lifecycle, log),
  settings: () => loadConfig([], readEnvironment()),
  input: process.stdin,
  say: (line: string) => process.stdout.write(`${line}\n`),
  note: (line: string) => process.stderr.write(`${line}\n`),
  exitWith: (code: number) => {
    process.exitCode = code;
  },
};

const program = new Command("calendly")
  .description("Looks after an installation of calendly-worker. Reads the same settings as the apps.")
  .addCommand(doctorCommand(ports))
  .addCommand(webhooksCommand(ports))
  .addCommand(verifyCommand(ports))
  .addCommand(tokensCommand(ports))
  .addCommand(bookingsCommand(ports))
  .addCommand(outcomesCommand(ports))
  .addCommand(destinationsCommand(ports))
  .addCommand(incompleteCommand(ports))
  .addCommand(reconcileCommand(ports))
  .addCommand(backfillCommand(ports))
  .addCommand(queueCommand(ports))
  .addCommand(quarantineCommand(ports))
  .addCommand(eraseCommand(ports));

/** Every command says how it is used when it is used wrongly. */
function explain(command: Command): void {
  command.showHelpAfterError();
  for (const sub of command.commands) explain(sub);
}

/** In plain words; what Redis refuses says little to whoever only ran a command. */
function lastLineOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const refusal = findWriteRefusal(error);
  if (refusal === undefined) return message;
  return `Redis takes no writes: ${refusal.why} (${message.replace(/\.$/, "")}). ${refusal.remedy}`;
}

explain(program);
try {
  requireNode();
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${lastLineOf(error)}\n`);
  process.exitCode = error instanceof RefusalError ? EXIT.refused : EXIT.failed;
} finally {
  await lifecycle.close("done");
}
