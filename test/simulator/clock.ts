/**
 * The simulator's own schedule: retries, the 24 hours, rate-limit windows. It can run fast; signatures and dates are
 * always in real time.
 */
export interface Clock {
  /** Milliseconds of the schedule since its start. */
  now(): number;
  /** Calls `action` once `ms` of the schedule have passed, unless it is stopped before. */
  after(ms: number, action: () => void): void;
  stop(): void;
}

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

/** `speed` 1 is real time; 1440 makes a day pass in a minute. */
export function createClock(speed: number): Clock {
  const startedAt = performance.now();
  const timers = new Set<NodeJS.Timeout>();
  let stopped = false;
  return {
    now: () => (performance.now() - startedAt) * speed,
    after(ms, action) {
      if (stopped) return;
      const timer = setTimeout(() => {
        timers.delete(timer);
        action();
      }, ms / speed);
      timers.add(timer);
    },
    stop() {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}
