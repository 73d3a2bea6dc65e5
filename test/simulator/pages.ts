import type { Request } from "express";
import { z } from "zod";
import { invalidArgument, parse } from "./rest-errors.ts";

const paging = z.object({
  count: z.coerce.number().int().min(1).max(100).default(20),
  page_token: z.string().optional(),
});

/** One page of a list as Calendly gives it. The token is opaque to the client; here it holds the position. */
export function pageOf<T>(req: Request, items: readonly T[], show: (item: T) => object): object {
  const { count, page_token } = parse(paging, req.query);
  const from = page_token === undefined ? 0 : positionOf(page_token);
  const page = items.slice(from, from + count);
  const nextToken = from + count < items.length ? tokenOf(from + count) : null;
  const previousToken = from > 0 ? tokenOf(Math.max(0, from - count)) : null;
  return {
    collection: page.map(show),
    pagination: {
      count: page.length,
      next_page: urlWith(req, nextToken),
      previous_page: urlWith(req, previousToken),
      next_page_token: nextToken,
      previous_page_token: previousToken,
    },
  };
}

const tokenOf = (position: number) => Buffer.from(`page:${position}`).toString("base64url");

function positionOf(token: string): number {
  const [, position] = /^page:(\d+)$/.exec(Buffer.from(token, "base64url").toString()) ?? [];
  if (position === undefined) throw invalidArgument([{ parameter: "page_token", message: "is invalid" }]);
  return Number(position);
}

function urlWith(req: Request, token: string | null): string | null {
  if (token === null) return null;
  const url = new URL(req.originalUrl, `http://${req.get("host")}`);
  url.searchParams.set("page_token", token);
  return url.href;
}
