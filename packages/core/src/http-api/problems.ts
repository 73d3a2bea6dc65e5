import { z } from "zod";

/** Every way in which a request can be refused: its code, HTTP status and title. */
export const PROBLEMS = {
  request_invalid: { status: 400, title: "The request is not as expected" },
  cursor_invalid: { status: 400, title: "The cursor is none that was given out, or belongs to other filters" },
  token_missing: { status: 401, title: "A token is needed" },
  token_unknown: { status: 401, title: "The token is not known" },
  not_allowed: { status: 403, title: "The token is not for that" },
  cross_site: { status: 403, title: "The request comes from another site" },
  not_found: { status: 404, title: "There is nothing at this address" },
  method_not_allowed: { status: 405, title: "The address takes other methods" },
  conflict: { status: 409, title: "It does not fit what is there" },
  cursor_expired: { status: 410, title: "Outcomes after the cursor are kept no longer" },
  body_too_large: { status: 413, title: "The body is too large" },
  encoding_unsupported: { status: 415, title: "The body is encoded in a way that is not understood" },
  target_refused: { status: 422, title: "Outcomes must not be pushed there" },
  too_many_attempts: { status: 429, title: "Too many wrong tokens came from this address" },
  internal_error: { status: 500, title: "Something went wrong on this side" },
  redis_unavailable: { status: 503, title: "Redis cannot be reached now" },
  too_many_streams: { status: 503, title: "As many streams are open as may be" },
} as const;
export type ProblemCode = keyof typeof PROBLEMS;

/** A problem document (RFC 9457). */
export const problem = z
  .object({
    type: z.string().describe("`urn:calendly-worker:problem:` and the code"),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]).describe("stable, for programs"),
    detail: z.string().describe("what was expected and what came"),
    errors: z.array(z.object({ at: z.string(), message: z.string() })).optional(),
    oldest: z.string().optional().describe("of cursor_expired: the oldest stream id that is left"),
    cursor: z.string().optional().describe("of cursor_expired: what to go on with, once you have made up for the gap"),
  })
  .meta({ id: "Problem" });

export type Problem = z.output<typeof problem>;

/** Answered with its problem document. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly code: ProblemCode;
  readonly more: Partial<Pick<Problem, "errors" | "oldest" | "cursor">>;

  constructor(code: ProblemCode, detail: string, more: ProblemError["more"] = {}) {
    super(detail);
    this.code = code;
    this.more = more;
  }
}

export function problemOf({ code, message, more }: ProblemError): Problem {
  const { status, title } = PROBLEMS[code];
  return { type: `urn:calendly-worker:problem:${code}`, title, status, code, detail: message, ...more };
}
