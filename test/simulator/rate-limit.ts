import type { NextFunction, Request, Response } from "express";
import { type Clock, MINUTE } from "./clock.ts";
import { RestError } from "./rest-errors.ts";
import { type Tokens, tokenOf } from "./tokens.ts";

/**
 * So many requests a minute of the schedule for each user: a second token of one user gives no second budget. Requests
 * without a known token share one of their own.
 */
export function limitRate(ports: { readonly clock: Clock; readonly tokens: Tokens; readonly limit: number }) {
  const { clock, tokens, limit } = ports;
  const windows = new Map<string, { endsAt: number; used: number }>();

  return (req: Request, res: Response, next: NextFunction): void => {
    const user = tokenOf(tokens, req)?.user.uri ?? "";
    let window = windows.get(user);
    if (window === undefined || clock.now() >= window.endsAt) {
      window = { endsAt: clock.now() + MINUTE, used: 0 };
      windows.set(user, window);
    }
    window.used += 1;
    res.set("X-RateLimit-Limit", String(limit));
    res.set("X-RateLimit-Remaining", String(Math.max(0, limit - window.used)));
    // In real seconds: whoever waits that long must find the next window.
    res.set("X-RateLimit-Reset", String(Math.ceil(clock.realMs(window.endsAt - clock.now()) / 1_000)));
    if (window.used > limit) throw new RestError(429, "Too Many Requests", "You have exceeded the rate limit.");
    next();
  };
}
