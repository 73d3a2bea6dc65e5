import type { Again, JobContext, JobHandler } from "@calendly-worker/core/queues/consumer";
import type { sweeps } from "@calendly-worker/core/queues/contracts";
import type { compareWithCalendly } from "./compare-with-calendly.ts";

/** Long work that one worker at a time does for all. */
export function sweepJob(work: {
  readonly compare: ReturnType<typeof compareWithCalendly>;
  readonly publishHistory: (context: JobContext) => Promise<string>;
}): JobHandler<typeof sweeps> {
  return async (data, context): Promise<string | Again> =>
    data.kind === "history" ? await work.publishHistory(context) : await work.compare(data, context);
}
