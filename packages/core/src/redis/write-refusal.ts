/** Why a Redis that can be reached takes no writes, and what helps. */
export interface WriteRefusal {
  /** Goes on after "Redis takes no writes: ". */
  readonly why: string;
  readonly remedy: string;
}

/** By the word that Redis' answer begins with. */
export const WRITE_REFUSALS = {
  OOM: {
    why: "its memory is used up",
    remedy:
      "Raise its maxmemory; noeviction must stay. What nobody needs of failed jobs goes with `calendly queue drop`.",
  },
  MISCONF: {
    why: "it could not write its file to disk",
    remedy: "Make room on its disk; its log says what failed. It goes on by itself when it can write again.",
  },
  READONLY: {
    why: "it is a replica",
    remedy: "Point REDIS_URL at the primary, or at its Sentinels. During a fail-over it passes by itself.",
  },
  NOREPLICAS: {
    why: "too few of its replicas are connected",
    remedy: "Bring its replicas back, or lower its min-replicas-to-write.",
  },
} as const satisfies Readonly<Record<string, WriteRefusal>>;

const BY_WORD = new Map<string, WriteRefusal>(Object.entries(WRITE_REFUSALS));

/** What an answer of Redis refuses a write for; undefined where it is about something else. */
export function findWriteRefusal(error: unknown): WriteRefusal | undefined {
  if (!(error instanceof Error)) return undefined;
  const found = BY_WORD.get(error.message.split(" ", 1)[0] ?? "");
  if (found !== undefined) return found;
  // That of a transaction says only that there was an error; ioredis keeps those of its commands beside it.
  const previous = "previousErrors" in error && Array.isArray(error.previousErrors) ? error.previousErrors : [];
  return previous.map(findWriteRefusal).find((refusal) => refusal !== undefined);
}
