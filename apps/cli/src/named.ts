import type { CommandPorts } from "./installation.ts";

/** Says how many of those that were named were not found `among` others: what was asked for was not done then. */
export function tellMissing(
  { note, exitWith }: Pick<CommandPorts, "note" | "exitWith">,
  named: readonly string[],
  found: ReadonlySet<string>,
  among: string,
): void {
  const missing = named.filter((id) => !found.has(id));
  if (missing.length === 0) return;
  note(`${missing.length} of them are not among the ${among}.`);
  exitWith(1);
}
