import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment over the `.env` file of the working directory, where there is one. Empty values count as unset. */
export function readEnvironment(dir = process.cwd(), environment: Environment = process.env): Environment {
  const file = join(dir, ".env");
  const fromFile = existsSync(file) ? parseEnv(readFileSync(file, "utf8")) : {};
  const set = Object.entries(environment).filter(([, value]) => value !== "");
  return { ...fromFile, ...Object.fromEntries(set) };
}

/** For libraries that read their own variables: what is not set in the process' environment is set so. */
export function setEnvironmentDefaults(defaults: Environment): void {
  for (const [name, value] of Object.entries(defaults)) process.env[name] ??= value;
}
