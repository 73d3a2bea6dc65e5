import { readFileSync } from "node:fs";
import type { z } from "zod";
import type { Environment } from "./environment.ts";
import { RefusalError } from "./refusal.ts";
import { type VariableName, variables } from "./schema.ts";
import type { App, Variable } from "./variable.ts";

type ValueOf<V> = V extends { readonly schema: z.ZodType<infer Value, string> } ? Value : never;
type RequiredBy<V> = V extends { readonly requiredBy: readonly (infer Required)[] } ? Required : never;
type Absent<V, A extends App> = V extends { readonly default: string }
  ? never
  : A extends RequiredBy<V>
    ? never
    : undefined;

/** All variables by their own names; one that has no default and is not required by the app may be undefined. */
export type Config<A extends App = never> = {
  readonly [N in VariableName]: ValueOf<(typeof variables)[N]> | Absent<(typeof variables)[N], A>;
};

/** What is wrong with the environment, all of it at once. The message never holds a secret's value. */
export class ConfigError extends RefusalError {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      "config_invalid",
      `The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

/**
 * Reads every variable of the schema from `environment`, a secret from a file where `…_FILE` names one. An empty text counts as unset. Throws one ConfigError that
 * names all variables that are missing for one of `apps` or do not fit.
 */
export function loadConfig<A extends App>(apps: readonly A[], environment: Environment): Config<A> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries<Variable>(variables)) {
    const given = rawValueOf(name, spec, environment, problems);
    const raw = given === undefined || given === "" ? spec.default : given;
    if (raw === undefined) {
      const missingFor = apps.filter((app) => spec.requiredBy?.includes(app));
      if (missingFor.length > 0) {
        problems.push(
          `${name} is not set: the ${missingFor.join(" and the ")} needs it (${spec.expected}). ${spec.description}`,
        );
      }
      continue;
    }
    const read = spec.schema.safeParse(raw);
    if (read.success) values[name] = read.data;
    else
      problems.push(
        `${name}: expected ${spec.expected}${unitOf(spec)}, got ${spec.secret ? "a value that is not shown here" : JSON.stringify(raw)}`,
      );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Config<A>;
}

/** A secret may stand in a file instead, as orchestrators mount them: `NAME_FILE` is its path. */
function rawValueOf(name: string, spec: Variable, environment: Environment, problems: string[]): string | undefined {
  const given = environment[name]?.trim();
  const file = spec.secret ? environment[`${name}_FILE`]?.trim() : undefined;
  if (file === undefined || file === "") return given;
  if (given !== undefined && given !== "") {
    problems.push(`${name} and ${name}_FILE are both set: expected one of them.`);
    return given;
  }
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    problems.push(`${name}_FILE: the file ${JSON.stringify(file)} cannot be read (${code}).`);
    return undefined;
  }
}

function unitOf(spec: Variable): string {
  return spec.unit === undefined ? "" : ` (${spec.unit})`;
}
