import { setTimeout as pause } from "node:timers/promises";
import { PROBLEMS, ProblemError, problemOf } from "@calendly-worker/core/http-api/problems";
import type { AnswerOf, BodyOf, ParamsOf, QueryOf, Route } from "@calendly-worker/core/http-api/route";
import { CursorExpiredError, CursorInvalidError } from "@calendly-worker/core/outcomes/cursor";
import { TargetRefusedError } from "@calendly-worker/core/outcomes/push-target";
import { isConnectionError } from "@calendly-worker/core/redis/connect";
import { RedisUnavailableError } from "@calendly-worker/core/redis/deadline";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import type { NextFunction, Request, Response, Router } from "express";
import { permit, type Reader } from "./access.ts";

const ANSWER_DEADLINE_MS = 5_000;

/** What a request holds, read as its route says. */
export interface Asked<R> {
  readonly params: ParamsOf<R>;
  readonly query: QueryOf<R>;
  readonly body: BodyOf<R>;
  readonly reader: Reader;
}

/** Answers a request; undefined where it has answered by itself. */
export type Handler<R> = (asked: Asked<R>, req: Request, res: Response) => Promise<AnswerOf<R> | undefined>;

/** Serves a route as its contract says: who may, what is read, what is answered. */
export function serve(router: Router, route: Route, handle: Handler<Route>): void {
  const path = route.path.replaceAll(/\{(\w+)\}/g, ":$1");
  router[route.method](path, async (req: Request, res: Response) => {
    const reader = permit(res, route.access === "manage" ? "all" : "read");
    const problems: { at: string; message: string }[] = [];
    function read(where: string, schema: Route["body"], value: unknown): unknown {
      const result = schema.safeParse(value);
      if (result.success) return result.data;
      for (const { path: at, message } of result.error.issues) problems.push({ at: [where, ...at].join("."), message });
      return undefined;
    }
    const params = read("path", route.params, req.params) as Asked<Route>["params"];
    const query = read("query", route.query.strict(), req.query) as Asked<Route>["query"];
    const body = read("body", route.body, route.method === "get" ? undefined : (req.body as unknown));
    if (problems.length > 0) {
      const [first] = problems;
      throw new ProblemError("request_invalid", `${first?.at}: ${first?.message}`, { errors: problems });
    }
    const answering = handle({ params, query, body, reader }, req, res);
    const answer = route.mediaType === undefined ? await inTime(answering) : await answering;
    if (answer !== undefined) res.status(route.answer.status).json(answer);
  });
}

/** A frozen Redis rejects nothing: whoever asks is told so after a while. */
async function inTime<T>(answering: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = pause(ANSWER_DEADLINE_MS, undefined, { signal: timer.signal }).then(() => {
    throw new RedisUnavailableError(`Redis did not answer within ${ANSWER_DEADLINE_MS} ms`);
  });
  // It is aborted where the answer comes first, and what comes later is nobody's.
  late.catch(() => {});
  answering.catch(() => {});
  try {
    return await Promise.race([answering, late]);
  } finally {
    timer.abort();
  }
}

const BASIC = 'Basic realm="Calendly worker", charset="UTF-8"';

/** Answers with a problem document (RFC 9457). */
export function answerProblem(log: Logger) {
  return (err: unknown, req: Request, res: Response, next: NextFunction) => {
    if (res.headersSent) return next(err);
    const found = problemErrorOf(err);
    const { status } = PROBLEMS[found.code];
    if (found.code === "internal_error") log.error({ err }, "unexpected error while answering");
    // A browser asks its user for a password where it is told that one would do.
    if (status === 401) res.set("WWW-Authenticate", /^\/ops(\/|$)/.test(req.path) ? BASIC : "Bearer");
    if (status === 429) res.set("Retry-After", "60");
    res
      .status(status)
      .type("application/problem+json")
      .send(JSON.stringify(problemOf(found)));
  };
}

function problemErrorOf(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  if (error instanceof CursorInvalidError) return new ProblemError("cursor_invalid", error.message);
  if (error instanceof CursorExpiredError)
    return new ProblemError("cursor_expired", error.message, { oldest: error.oldest });
  if (error instanceof TargetRefusedError) return new ProblemError("target_refused", error.message);
  if (error instanceof RedisUnavailableError || (error instanceof Error && isRedisTrouble(error))) {
    return new ProblemError("redis_unavailable", "Redis does not answer now; try again in a moment");
  }
  return refusalOf(error) ?? new ProblemError("internal_error", "the log says what");
}

/** What Express and its readers of bodies mark, with a status below 500, as the client's mistake. */
function refusalOf(error: unknown): ProblemError | undefined {
  if (!(error instanceof Error && "status" in error)) return undefined;
  const status = Number(error.status);
  if (!(status >= 400 && status < 500)) return undefined;
  if (error instanceof URIError) return new ProblemError("request_invalid", "path: expected percent-encoded UTF-8");
  switch (status) {
    case 413:
      return new ProblemError("body_too_large", "expected a body of 64 KiB or less");
    case 415:
      return new ProblemError("encoding_unsupported", `expected JSON in UTF-8, plain or compressed: ${error.message}`);
    default: {
      const isNoJson = "type" in error && error.type === "entity.parse.failed";
      return new ProblemError("request_invalid", isNoJson ? "body: expected JSON" : `body: ${error.message}`);
    }
  }
}

function isRedisTrouble(error: Error): boolean {
  return (
    isConnectionError(error) ||
    error.name === "MaxRetriesPerRequestError" ||
    /^(LOADING|READONLY|OOM)/.test(error.message)
  );
}
