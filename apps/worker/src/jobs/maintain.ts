import type { JobContext, JobHandler } from "@calendly-worker/core/queues/consumer";
import type { maintenance } from "@calendly-worker/core/queues/contracts";
import { ImpossibleJobError } from "@calendly-worker/core/queues/errors";

/** A task that is done every so often; resolves with a word on how it ended. */
export type Task = (context: JobContext) => Promise<string>;

/**
 * One after the other, as one task: a version that runs beside, or is put back in place, gives up a task whose name it does
 * not know.
 */
export function inTurn(...tasks: readonly Task[]): Task {
  return async (context) => {
    const results = [];
    for (const task of tasks) results.push(await task(context));
    return results.join(", ");
  };
}

/** Does the task that the job is named after. */
export function maintain(tasks: Readonly<Record<string, Task>>): JobHandler<typeof maintenance> {
  return async (_data, context) => {
    const task = Object.hasOwn(tasks, context.name) ? tasks[context.name] : undefined;
    if (task === undefined) {
      const known = Object.keys(tasks).join(", ");
      throw new ImpossibleJobError(`there is no task "${context.name}"; expected one of ${known}`);
    }
    return await task(context);
  };
}
