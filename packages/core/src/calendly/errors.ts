import { z } from "zod";

/** How a call to Calendly's API can fail. */
export type CalendlyErrorCode =
  | "unauthenticated"
  | "permission_denied"
  | "insufficient_scope"
  | "not_found"
  | "conflict"
  | "invalid_argument"
  | "rate_limited"
  | "unavailable"
  | "timed_out"
  | "unreadable_answer";

/** Why Calendly takes a token no more. */
export type TokenFault = "invalid" | "expired" | "revoked";

interface Details {
  /** When there is budget again, ms from now. */
  readonly retryAfterMs?: number;
  /** Scopes that the token lacks. */
  readonly requiredScopes?: readonly string[];
  /** What Calendly says of the parameters. */
  readonly problems?: readonly string[];
  readonly tokenFault?: TokenFault;
  /** The shape of an answer that could not be read: names and types, no values. */
  readonly shape?: string;
}

/** What was sent, and the token above all, is never part of it. */
export class CalendlyError extends Error {
  override readonly name = "CalendlyError";
  readonly code: CalendlyErrorCode;
  readonly details: Details;

  constructor(code: CalendlyErrorCode, message: string, details: Details = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

const errorBody = z.looseObject({
  title: z.string().nullish(),
  message: z.string().nullish(),
  details: z.array(z.looseObject({ message: z.string(), parameter: z.string().nullish() })).nullish(),
  required_scopes: z.array(z.string()).nullish(),
});

/**
 * The error that an answer stands for (https://developer.calendly.com, error responses). Branches on the status, and on
 * the body's keys where one status has two meanings: messages vary with the plan.
 */
export function errorOfAnswer(call: string, status: number, headers: Headers, text: string): CalendlyError {
  const body = errorBody.safeParse(parse(text)).data ?? {};
  const what = `Calendly answered ${status} to ${call}`;
  switch (status) {
    case 400: {
      const problems = (body.details ?? []).map(({ parameter, message }) => `${parameter || "request"}: ${message}`);
      return new CalendlyError("invalid_argument", [what, ...problems].join("; "), { problems });
    }
    case 401: {
      const tokenFault = /revoked/.test(body.message ?? "")
        ? "revoked"
        : /expired/.test(body.message ?? "")
          ? "expired"
          : "invalid";
      return new CalendlyError("unauthenticated", `${what}: the token is ${tokenFault}`, { tokenFault });
    }
    case 403: {
      const requiredScopes = body.required_scopes ?? undefined;
      if (requiredScopes === undefined) return new CalendlyError("permission_denied", what);
      const scopes = requiredScopes.join(", ");
      return new CalendlyError("insufficient_scope", `${what}: the token lacks ${scopes}`, { requiredScopes });
    }
    case 404:
      return new CalendlyError("not_found", what);
    case 409:
      return new CalendlyError("conflict", `${what}: it exists already`);
    case 429: {
      const { resetMs } = readBudget(headers);
      const seconds = Number(headers.get("retry-after") ?? Number.NaN);
      const retryAfterMs = seconds >= 0 ? seconds * 1_000 : resetMs;
      return new CalendlyError("rate_limited", what, retryAfterMs === undefined ? {} : { retryAfterMs });
    }
    default:
      return status >= 500
        ? new CalendlyError("unavailable", what)
        : new CalendlyError("unreadable_answer", `${what}, which is not expected`);
  }
}

/** What an answer says of the account's budget. `X-RateLimit-Reset` is in seconds from now, not a time. */
export interface BudgetHeaders {
  readonly limit?: number;
  readonly remaining?: number;
  readonly resetMs?: number;
}

export function readBudget(headers: Headers): BudgetHeaders {
  const whole = (name: string) => {
    const text = headers.get(name);
    return text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
  };
  const [limit, remaining, reset] = ["limit", "remaining", "reset"].map((part) => whole(`x-ratelimit-${part}`));
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(remaining === undefined ? {} : { remaining }),
    ...(reset === undefined ? {} : { resetMs: reset * 1_000 }),
  };
}

/** Names and types of what was answered, without a value of it. */
export function shapeOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "[]" : `[${shapeOf(value[0])} × ${value.length}]`;
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return `{${Object.entries(value)
    .map(([name, part]) => `${name}: ${shapeOf(part)}`)
    .join(", ")}}`;
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
