import type { z } from "zod";

export const APPS = ["ingest", "worker"] as const;
export type App = (typeof APPS)[number];

/** One environment variable: all that the loader, `.env.example` and the table in the README say about it. */
export interface Variable<Value = unknown> {
  /** Reads the trimmed, non-empty text. Its own messages are never shown: `expected` is. */
  readonly schema: z.ZodType<Value, string>;
  /** What a right value looks like, to end the sentence "expected …". */
  readonly expected: string;
  /** As one would write it in the environment; read through `schema` like any other value. */
  readonly default?: string;
  readonly unit?: "s" | "ms" | "days" | "entries" | "requests" | "requests/min" | "jobs" | "shards" | "replicas";
  readonly description: string;
  /** A secret's value is never repeated in a message. */
  readonly secret?: true;
  /** The apps that refuse to start without it. */
  readonly requiredBy?: readonly App[];
}
