import type { ServerResponse } from "node:http";
import type { Logger } from "@calendly-worker/core/telemetry/logger";

/** Ends the answer with JSON. Headers that were set before stay. */
export function answerJson(res: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  res.statusCode = status;
  res.setHeader("Content-Type", "application/json; charset=utf-8");
  res.setHeader("Content-Length", Buffer.byteLength(text));
  res.end(text);
}

export function answerError(res: ServerResponse, status: number, code: string, message: string): void {
  answerJson(res, status, { error: { code, message } });
}

/** A defect of ours is no reason for whoever delivers to give up. */
export function answerUnexpected(res: ServerResponse, err: unknown, log: Logger): void {
  log.error({ err }, "unexpected error while answering");
  if (res.headersSent) res.destroy();
  else answerError(res, 503, "internal_error", "Something went wrong on this side. Please try again.");
}
