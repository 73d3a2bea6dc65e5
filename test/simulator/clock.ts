/**
 * The simulator's own schedule: retries, the 24 hours, rate-limit windows. It can run fast; signatures and dates are
 * always in real time.
 */
export interface Clock {
  /** Milliseconds of the schedule since its start. */
  now(): number;
  /** How long `ms` of the schedule last in real time, in ms. */
  realMs(ms: number): number;
  /** Calls `action` once `ms` of the schedule have passed, unless it is stopped before. */
  after(ms: number, action: () => void): void;
  stop(): void;
}

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** A longer one would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** `speed` 1 is real time; 1440 makes a day pass in a minute. */
export function createClock(speed: number): Clock {
  if (!(speed > 0 && Number.isFinite(speed))) throw new RangeError(`expected a speed above 0, got ${speed}`);
  const startedAt = performance.now();
  const timers = new Set<NodeJS.Timeout>();
  let stopped = false;

  function wait(realMs: number, action: () => void): void {
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        if (realMs > LONGEST_TIMER_MS) wait(realMs - LONGEST_TIMER_MS, action);
        else action();
      },
      Math.min(realMs, LONGEST_TIMER_MS),
    );
    timers.add(timer);
  }

  return {
    now: () => (performance.now() - startedAt) * speed,
    realMs: (ms) => ms / speed,
    after(ms, action) {
      if (!stopped) wait(ms / speed, action);
    },
    stop() {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}
