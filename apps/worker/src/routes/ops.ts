import { type Response, Router } from "express";
import { permit } from "../access.ts";
import { type OverviewPorts, readOverview } from "../ops/overview.ts";
import { OVERVIEW_CSS, OVERVIEW_JS } from "../ops/overview-assets.ts";
import { renderOverview } from "../ops/overview-page.ts";
import { BOARD_PATH, queueBoard } from "../ops/queue-board.ts";

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** What people look at: the overview, and the queues. */
export function opsRoutes(ports: OverviewPorts & Parameters<typeof queueBoard>[0]): Router {
  const router = Router();

  function secured(res: Response): Response {
    permit(res, "all");
    return res.set({
      "Content-Security-Policy": CONTENT_SECURITY_POLICY,
      "Cache-Control": "no-store",
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
    });
  }

  router.get("/ops", async (_req, res) => {
    secured(res)
      .type("html")
      .send(renderOverview(await readOverview(ports)));
  });
  router.get("/ops/overview.css", (_req, res) => {
    secured(res).type("css").send(OVERVIEW_CSS);
  });
  router.get("/ops/overview.js", (_req, res) => {
    secured(res).type("js").send(OVERVIEW_JS);
  });
  router.use(BOARD_PATH, queueBoard(ports));
  return router;
}
