/** What one look found. `advice` says the way out; there where it is not ok. */
export interface Finding {
  readonly check: string;
  readonly status: "ok" | "warning" | "fault";
  readonly message: string;
  readonly advice?: string;
}

/**
 * What a look finds, or a fault that says that it had no answer in time, or why it failed; never rejects. `what` is named
 * by that fault, where several looks have one check.
 */
export type Within = (check: string, looking: Promise<Finding[]>, what?: string) => Promise<Finding[]>;

/** For all looks together, which are taken side by side. */
export const PATIENCE_MS = 4_500;
const MOST_SKEW_MS = 30_000;

export const ok = (check: string, message: string): Finding => ({ check, status: "ok", message });
export const fault = (check: string, message: string, advice: string): Finding => ({
  check,
  status: "fault",
  message,
  advice,
});
export const warning = (check: string, message: string, advice: string): Finding => ({
  check,
  status: "warning",
  message,
  advice,
});

export function judgeSkew(check: string, whose: string, skewMs: number): Finding {
  if (skewMs <= MOST_SKEW_MS) return ok(check, `This clock and that of ${whose} agree.`);
  const message = `This clock and that of ${whose} differ by ${Math.round(skewMs / 1_000)} s.`;
  return fault(check, message, "Synchronize the clock (NTP): signatures are refused when it is wrong.");
}
