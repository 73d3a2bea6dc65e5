import { addAbortListener } from "node:events";

/** When something is to end before it is done. */
export interface Ending extends Disposable {
  /** Aborts with the reason of the first of the others that does, or with a TimeoutError. */
  readonly signal: AbortSignal;
  isTimeUp(): boolean;
}

/**
 * Ends with any of the signals, or after `ms`. To be disposed of when what it is for has ended: nothing of it is left then.
 * Node keeps an `AbortSignal.any` that was given to `fetch` for good where the signals it was made of are collected before
 * it is, which is how a worker that asks for something now and then grew by 15 MB an hour.
 */
export function endingWith(signals: readonly AbortSignal[], ms: number): Ending {
  const controller = new AbortController();
  let isTimeUp = false;
  const timer = setTimeout(() => {
    isTimeUp = true;
    controller.abort(new DOMException("the time is up", "TimeoutError"));
  }, ms);
  timer.unref();
  // One that has aborted before tells its listeners so, but not at once.
  const first = signals.find(({ aborted }) => aborted);
  if (first !== undefined) controller.abort(first.reason);
  const others = signals.map((other) => addAbortListener(other, () => controller.abort(other.reason)));
  return {
    signal: controller.signal,
    isTimeUp: () => isTimeUp,
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const other of others) other[Symbol.dispose]();
    },
  };
}
