/** How a call to Calendly's API can fail. What was sent, and the token above all, is never part of it. */
export type CalendlyErrorCode =
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "invalid_argument"
  | "rate_limited"
  | "unavailable"
  | "timed_out"
  | "unreadable_answer";

export class CalendlyError extends Error {
  override readonly name = "CalendlyError";
  readonly code: CalendlyErrorCode;
  /** When the budget is full again, ms from now; where Calendly says it. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: CalendlyErrorCode,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number } = {},
  ) {
    super(message, options);
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const BY_STATUS: Readonly<Record<number, CalendlyErrorCode>> = {
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  429: "rate_limited",
};

/** The error that an answer stands for. Branches on the status alone: Calendly's messages vary. */
export function errorOfAnswer(call: string, status: number, headers: Headers): CalendlyError {
  const code = BY_STATUS[status] ?? "unavailable";
  const seconds = Number(headers.get("retry-after") ?? headers.get("x-ratelimit-reset") ?? Number.NaN);
  const retryAfterMs = code === "rate_limited" && seconds >= 0 ? seconds * 1_000 : undefined;
  const message = `Calendly answered ${status} to ${call}`;
  return new CalendlyError(code, message, retryAfterMs === undefined ? {} : { retryAfterMs });
}
