import { Command } from "commander";
import { examine } from "../doctor/examine.ts";
import type { CommandPorts } from "../installation.ts";

const MARKS = { ok: "ok     ", warning: "WARNING", fault: "FAULT  " } as const;

export function doctorCommand({ open, settings, say, exitWith }: CommandPorts): Command {
  return new Command("doctor")
    .description("Looks at everything that an installation needs, and says what to do about what is wrong.")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExit codes: 0 no fault, 1 at least one.")
    .action(async ({ json }: { json?: true }) => {
      const findings = await examine({ open, settings });
      const faults = findings.filter(({ status }) => status === "fault").length;
      if (faults > 0) exitWith(1);
      if (json) return say(JSON.stringify(findings));
      for (const { check, status, message, advice } of findings) {
        say(`${MARKS[status]}  ${check}: ${message}`);
        if (advice !== undefined) say(`         → ${advice}`);
      }
      const warnings = findings.filter(({ status }) => status === "warning").length;
      say(faults + warnings === 0 ? "All is well." : `Faults: ${faults}, warnings: ${warnings}.`);
    });
}
