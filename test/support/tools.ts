import { describe } from "@jest/globals";

type Tool = "prometheus" | "chromium" | "faketime" | "kubectl";

/**
 * Tests that need a program which is not of the project. Skipped, by name, where the bootstrap has found none and may
 * install none; where it has, they fail without it.
 */
export function describeWith(tool: Tool, name: string, tests: () => void): void {
  const isLacking = (process.env["TEST_LACKS"] ?? "").split(",").includes(tool);
  (isLacking ? describe.skip : describe)(`${name}${isLacking ? ` (needs ${tool})` : ""}`, tests);
}
