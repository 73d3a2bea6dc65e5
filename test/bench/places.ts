import { availableParallelism } from "node:os";

const cores = availableParallelism();

/** Which core does what: the process that is measured has one to itself, as far as there are enough. */
export const CORE = {
  measured: 0,
  redis: Math.min(1, cores - 1),
  load: Math.min(2, cores - 1),
} as const;
