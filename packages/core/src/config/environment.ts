import { existsSync, readFileSync } from "node:fs";
import { parseEnv } from "node:util";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's environment over the `.env` file of the working directory, where there is one. */
export function readEnvironment(): Environment {
  const fromFile = existsSync(".env") ? parseEnv(readFileSync(".env", "utf8")) : {};
  const set = Object.entries(process.env).filter(([, value]) => value !== "");
  return { ...fromFile, ...Object.fromEntries(set) };
}
