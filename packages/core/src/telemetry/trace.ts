/**
 * Does some work as a span of the trace that is under way: what it is, and what it is done to, from a closed list. `tag`
 * adds to it. Never a name, an address or an answer of somebody.
 */
export type Trace = <T>(
  operation: string,
  resource: string,
  work: (tag: (name: string, value: string | number) => void) => Promise<T>,
) => Promise<T>;

export const untraced: Trace = (_operation, _resource, work) => work(() => {});

/** Traces with Datadog where that is switched on; `start-tracing` must have been loaded first then. */
export async function openTrace({ isEnabled }: { readonly isEnabled: boolean }): Promise<Trace> {
  if (!isEnabled) return untraced;
  const { default: tracer } = await import("dd-trace");
  return (operation, resource, work) =>
    tracer.trace(operation, { resource }, async (span) => await work((name, value) => void span?.setTag(name, value)));
}

/**
 * What a job bears for the trace that is under way to go on where the job is done, as BullMQ's telemetry metadata; undefined
 * where nothing is traced.
 */
export type TraceOfJob = () => string | undefined;

/** In the words that Datadog's tracer reads when a worker begins a job. */
export async function openTraceOfJob({ isEnabled }: { readonly isEnabled: boolean }): Promise<TraceOfJob> {
  if (!isEnabled) return () => undefined;
  const { default: tracer } = await import("dd-trace");
  return () => {
    const span = tracer.scope().active();
    if (span === null) return undefined;
    const carrier = {};
    tracer.inject(span, "text_map", carrier);
    return JSON.stringify({ _datadog: carrier });
  };
}
