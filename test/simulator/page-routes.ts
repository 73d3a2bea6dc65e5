import { readFileSync } from "node:fs";
import { type Response, Router } from "express";
import type { Account } from "./account.ts";
import { AccountError } from "./account-error.ts";
import { nextSlots } from "./rest-availability.ts";

/** Where a worker tells its outcomes, and a token that may read them. */
export interface OutcomeSource {
  readonly url: string;
  readonly token: string;
}

const DAYS = 4;
const ANSWER_MS = 3_000;
const HINT =
  "To see them here, say where the worker is: --outcomes-url with its address and --outcomes-token with one of its tokens.";
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none'";

/** A page to book, move and cancel by hand, and what it asks. */
export function pageRoutes(ports: {
  readonly account: Account;
  readonly outcomes: () => OutcomeSource | undefined;
  readonly now: () => number;
}): Router {
  const { account, outcomes, now } = ports;
  const router = Router();

  const file = (name: string, type: string) => (res: Response) => {
    const content = readFileSync(new URL(`page/${name}`, import.meta.url));
    res.set("Content-Security-Policy", POLICY).type(type).send(content);
  };
  const page = file("index.html", "html");
  const script = file("page.js", "js");
  const style = file("page.css", "css");
  router.get("/page", (_req, res) => page(res));
  router.get("/page/page.js", (_req, res) => script(res));
  router.get("/page/page.css", (_req, res) => style(res));

  router.get("/slots", (req, res) => {
    const type = account.catalog.eventTypes.find(({ slug, name }) =>
      [slug, name].includes(String(req.query["eventType"])),
    );
    if (type === undefined) throw new AccountError(`there is no event type "${String(req.query["eventType"])}"`);
    res.json({ slots: nextSlots(account, type, now(), DAYS) });
  });

  /** The newest first. */
  router.get("/invitees", (_req, res) => {
    const invitees = [...account.invitees.values()].toReversed().slice(0, 50);
    res.json({
      invitees: invitees.map(({ id, name, event, status, noShow }) => ({
        id,
        name,
        eventType: event.type.slug,
        start: event.start,
        status,
        noShow: noShow !== undefined,
      })),
    });
  });

  router.get("/outcomes", async (req, res) => {
    const source = outcomes();
    if (source === undefined) return void res.json({ outcomes: [], hint: HINT });
    const after = typeof req.query["after"] === "string" ? req.query["after"] : "";
    const address = new URL(`/api/outcomes${after === "" ? "" : `?after=${encodeURIComponent(after)}`}`, source.url);
    try {
      const answer = await fetch(address, {
        headers: { authorization: `Bearer ${source.token}` },
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      if (!answer.ok) return void res.json({ outcomes: [], hint: `${source.url} answered ${answer.status}` });
      const { outcomes: found, next } = (await answer.json()) as { outcomes: object[]; next: string };
      res.json({ outcomes: found, next, hint: `From ${source.url}` });
    } catch {
      res.json({ outcomes: [], hint: `${source.url} does not answer` });
    }
  });

  return router;
}
