import { addAbortListener } from "node:events";

/**
 * Waits for what is pending, but no longer than until the signal aborts: undefined then. Nothing of the wait is left with
 * the signal: whoever waits for ever, one time after the other, must not keep something of each.
 */
export async function unlessAborted<T>(signal: AbortSignal, pending: Promise<T>): Promise<T | undefined> {
  const aborted = Promise.withResolvers<undefined>();
  // One that has aborted before tells its listeners so.
  using _listening = addAbortListener(signal, () => aborted.resolve(undefined));
  return await Promise.race([pending, aborted.promise]);
}
