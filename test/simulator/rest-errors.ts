import type { NextFunction, Request, Response } from "express";
import type { z } from "zod";

/** What Calendly's API answers when it does not do what was asked. */
export class RestError extends Error {
  override readonly name = "RestError";
  readonly status: number;
  readonly body: object;

  constructor(status: number, title: string, message: string, further: object = {}) {
    super(message);
    this.status = status;
    this.body = { title, message, ...further };
  }
}

export const notFound = () =>
  new RestError(404, "Resource Not Found", "The server could not find the requested resource.");

export const permissionDenied = (message = "You do not have permission") =>
  new RestError(403, "Permission Denied", message);

export const failing = (status: number) => new RestError(status, "Error", "It was told to answer so.");

export function invalidArgument(details: readonly { parameter: string; message: string }[]): RestError {
  return new RestError(400, "Invalid Argument", "The supplied parameters are invalid.", { details });
}

/** Reads parameters, or throws Calendly's 400 with its details. */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const read = schema.safeParse(input);
  if (read.success) return read.data;
  throw invalidArgument(read.error.issues.map(({ path, message }) => ({ parameter: path.join("."), message })));
}

/** Turns a thrown error into the answer. */
export function answerRestError(error: unknown, _req: Request, res: Response, next: NextFunction): void {
  if (error instanceof RestError) res.status(error.status).json(error.body);
  else if (error instanceof SyntaxError)
    res.status(400).json(invalidArgument([{ parameter: "", message: "is not JSON" }]).body);
  else next(error);
}
