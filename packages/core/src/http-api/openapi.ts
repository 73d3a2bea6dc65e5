import { type CreateDocumentOptions, createDocument } from "zod-openapi";
import { PROBLEMS, problem } from "./problems.ts";
import type { Route } from "./route.ts";
import { routes } from "./routes.ts";

export type OpenApiDocument = ReturnType<typeof createDocument>;

const OPTIONS: CreateDocumentOptions = {
  // Fields may come to what is answered: clients must let them pass.
  override: ({ jsonSchema, io }) => {
    if (io === "output" && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
  },
};

/** The OpenAPI 3.1 document of the worker's internal face. */
export function openApiDocument(): OpenApiDocument {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of Object.values<Route>(routes)) {
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route) };
  }
  return createDocument(
    {
      openapi: "3.1.1",
      info: {
        title: "calendly-worker",
        version: "1",
        description:
          "Bookings and their outcomes, for internal services. Within a version there are only additions: let fields and types pass that you do not know.",
        license: { name: "Unlicensed", identifier: "LicenseRef-Unlicensed" },
      },
      servers: [{ url: "/" }],
      security: [{ token: [] }],
      tags: ["Bookings", "Outcomes", "Expectations", "Destinations"].map((name) => ({ name })),
      paths,
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
    },
    OPTIONS,
  );
}

function operationOf(route: Route): object {
  const { operationId, tag, summary, description, access, params, query, body, answer, mediaType } = route;
  const needs =
    access === "manage" ? "Needs `OPS_API_TOKEN`." : "`OPS_API_TOKEN` or one of `CALENDLY_CONSUMER_TOKENS`.";
  const parameters = {
    ...(Object.keys(params.shape).length > 0 && { path: params }),
    ...(Object.keys(query.shape).length > 0 && { query }),
  };
  return {
    operationId,
    tags: [tag],
    summary,
    description: [description, needs].filter(Boolean).join(" "),
    ...(Object.keys(parameters).length > 0 && { requestParams: parameters }),
    ...(body.type !== "undefined" && {
      requestBody: { required: body.type !== "default", content: { "application/json": { schema: body } } },
    }),
    responses: {
      [answer.status]: {
        description: answer.description,
        content: { [mediaType ?? "application/json"]: { schema: answer.schema } },
      },
      ...problemResponses(route),
    },
  };
}

/** What every route may answer: also a parameter that it does not know is refused, and a token for metrics alone. */
const OF_ALL = [
  ...(["request_invalid", "token_missing", "token_unknown", "not_allowed"] as const),
  ...(["too_many_attempts", "redis_unavailable", "internal_error"] as const),
];
/** A browser's page of another site is kept from changing something. */
const OF_CHANGES = ["cross_site"] as const;
const OF_BODIES = ["body_too_large", "encoding_unsupported"] as const;

function problemResponses({ method, body, problems }: Route): Record<string, object> {
  const all = [
    ...OF_ALL,
    ...(method === "get" ? [] : OF_CHANGES),
    ...(body.type === "undefined" ? [] : OF_BODIES),
    ...problems,
  ];
  const responses: Record<string, { description: string; content: object }> = {};
  for (const code of all) {
    const { status, title } = PROBLEMS[code];
    const known = responses[status]?.description;
    responses[status] = {
      description: [known, `\`${code}\`: ${title}.`].filter(Boolean).join(" "),
      content: { "application/problem+json": { schema: problem } },
    };
  }
  return responses;
}
