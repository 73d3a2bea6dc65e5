import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { runCommand } from "../support/cli.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** Every command that whoever is on call is told to run: by the runbook, the deployment guide, and the overview page. */
const COMMANDS = [
  ...new Set(
    [
      ...read("docs/operations.md").matchAll(/`pnpm calendly ([^`]+)`/g),
      ...read("docs/deployment.md").matchAll(/`pnpm calendly ([^`]+)`/g),
      ...read("apps/worker/src/ops/remedies.ts").matchAll(/"pnpm calendly ([^"]+)"/g),
    ]
      .map(([, command]) => command ?? "")
      .toSorted(),
  ),
];

/** What does not fit, in words; nothing where the command line would take it. */
async function faultOf(command: string): Promise<string | undefined> {
  const words = command.split(" ");
  const plain = words.filter((word, index) => !word.startsWith("--") && !(words[index - 1] ?? "").startsWith("--"));
  const { status, stdout, stderr } = await runCommand([...plain.filter((word) => !word.startsWith("<")), "--help"], {});
  if (status !== 0) return `exit code ${status}: ${stderr}`;
  const [usage = ""] = stdout.split("\n");
  const [, named = "", taken = ""] = /^Usage: calendly ((?:[a-z-]+ ?)+)(.*)$/.exec(usage) ?? [];
  const given = plain.slice(named.trim().split(" ").length);
  const places = taken.match(/<[^>]+>|\[(?!options|command)[^\]]+\]/g) ?? [];
  if (!command.startsWith(named.trim())) return `is taken as "${named.trim()}"`;
  if (given.length > places.length) return `takes ${places.length} arguments, is given ${given.join(" ")}`;
  const needed = places.filter((place) => place.startsWith("<")).length;
  if (given.length < needed) return `needs ${places.join(" ")}`;
  const unknown = words.filter((word) => word.startsWith("--") && !stdout.includes(word));
  return unknown.length === 0 ? undefined : `does not know ${unknown.join(", ")}`;
}

test("the runbook names commands", () => expect(COMMANDS.length).toBeGreaterThan(20));

test.each(COMMANDS)("there is a command: calendly %s", async (command) => {
  expect(await faultOf(command)).toBeUndefined();
});

test.each([
  ["queue resume deliveries", "takes 0 arguments, is given deliveries"],
  ["queue vanish", "takes 0 arguments, is given vanish"],
  ["tokens snooze --for-ever", "does not know --for-ever"],
  ["destinations show", "needs <id>"],
])("it would be found out that there is none: calendly %s", async (command, fault) => {
  expect(await faultOf(command)).toContain(fault);
});
