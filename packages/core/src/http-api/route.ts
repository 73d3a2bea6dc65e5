import type { z } from "zod";
import type { ProblemCode } from "./problems.ts";

/** Everything that a route and those who call it must agree on. The worker serves it, the OpenAPI document is made of it. */
export interface Route<
  Params extends z.ZodObject = z.ZodObject,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Answer extends z.ZodType = z.ZodType,
> {
  readonly operationId: string;
  readonly method: "get" | "post" | "patch" | "delete";
  /** With `{name}` for each of `params`. */
  readonly path: string;
  readonly tag: "Bookings" | "Outcomes" | "Expectations" | "Destinations";
  readonly summary: string;
  readonly description?: string;
  /** `read`: every token. `manage`: OPS_API_TOKEN alone. */
  readonly access: "read" | "manage";
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly answer: { readonly status: 200 | 201 | 202; readonly description: string; readonly schema: Answer };
  /** Where the answer is not JSON. */
  readonly mediaType?: "text/event-stream";
  /** Beside those of every route. */
  readonly problems: readonly ProblemCode[];
}

export type ParamsOf<R> = R extends Route<infer Params> ? z.output<Params> : never;
export type QueryOf<R> = R extends Route<z.ZodObject, infer Query> ? z.output<Query> : never;
export type BodyOf<R> = R extends Route<z.ZodObject, z.ZodObject, infer Body> ? z.output<Body> : never;
export type AnswerOf<R> = R extends Route<z.ZodObject, z.ZodObject, z.ZodType, infer Answer> ? z.input<Answer> : never;

export function defineRoute<
  Params extends z.ZodObject,
  Query extends z.ZodObject,
  Body extends z.ZodType,
  Answer extends z.ZodType,
>(route: Route<Params, Query, Body, Answer>): Route<Params, Query, Body, Answer> {
  return route;
}
