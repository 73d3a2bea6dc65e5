import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { ExpressAdapter } from "@bull-board/express";
import { ProblemError } from "@calendly-worker/core/http-api/problems";
import type { BoardQueue, BoardQueues } from "@calendly-worker/core/queues/board-queues";
import type { Audit } from "@calendly-worker/core/store/audit";
import type { DestinationStore } from "@calendly-worker/core/store/destinations";
import type { Logger } from "@calendly-worker/core/telemetry/logger";
import { type NextFunction, type Request, type Response, Router } from "express";
import { permit } from "../access.ts";
import { AMENDED_CSS, AMENDED_JS } from "./queue-board-assets.ts";

export const BOARD_PATH = "/ops/queues";

/** What a job holds that is nobody's data. All else is not shown. */
const SHOWN = new Set([
  ...["identity", "receivedAt", "signedWith", "generation", "origin", "inviteeUri", "signedAt", "isPassed"],
  ...["quarantined", "bookingId", "kind", "band", "name", "from", "to", "graceMs", "isDryRun"],
  ...["destinationId", "shard", "streamId", "id", "type", "subject"],
]);

/**
 * What may be done where the dashboard is writable. Not what would lose a delivery at a click, nor the cleaning away of
 * what is done, with which goes what its repetitions are known by, and not the changing of a job's data: it is shown
 * redacted, and would be kept so.
 */
const ACTIONS = /^\/api\/queues\/[^/]+\/(pause|resume|promote|retry\/failed|[^/]+\/(retry|promote))$/;

/** Bull Board's page asks for a font of another site, which no page of ours does; in its place it gets what it lacks. */
const FOREIGN_FONT = /<link href="https:\/\/fonts[^>]*>/;
const AMENDED = `<link rel="stylesheet" href="${BOARD_PATH}/amended.css"><script src="${BOARD_PATH}/amended.js" defer></script>`;

const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  // It sets styles by script, and has no nonce for them.
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** The queues with their jobs, by Bull Board: to look at, and to act on where that is allowed. */
export function queueBoard(ports: {
  readonly queues: BoardQueues;
  readonly destinations: Pick<DestinationStore, "all">;
  readonly isWritable: boolean;
  readonly audit: Audit;
  readonly log: Logger;
}): Router {
  const { queues, destinations, isWritable, audit, log } = ports;
  const server = new ExpressAdapter();
  server.setBasePath(BOARD_PATH);
  const board = createBullBoard({
    queues: queues.open([]).map(adapt),
    serverAdapter: server,
    options: { uiConfig: { boardTitle: "Calendly worker", pollingInterval: { showSetting: true } } },
  });

  function adapt({ queue, prefix }: BoardQueue): BullMQAdapter {
    const adapter = new BullMQAdapter(queue, { readOnlyMode: !isWritable, allowRetries: isWritable, prefix });
    adapter.setFormatter("data", redacted);
    return adapter;
  }

  let shown = "";
  /** Destinations come and go. */
  async function showDestinations(): Promise<void> {
    const ids = (await destinations.all()).map(({ id }) => id);
    if (ids.join() === shown) return;
    shown = ids.join();
    board.setQueues(queues.open(ids).map(adapt));
  }

  async function act(req: Request, res: Response): Promise<void> {
    const { name: who } = permit(res, "all");
    if (!isWritable || req.method !== "PUT" || !ACTIONS.test(req.path)) {
      const why = isWritable
        ? "the dashboard does not do that"
        : "the dashboard is read-only: see OPS_DASHBOARD_WRITABLE";
      throw new ProblemError("not_allowed", why);
    }
    // Before it is done: what was done without a trace would be worse than what was only tried.
    const subject = decodeURIComponent(req.path.replace("/api/queues/", ""));
    await audit.note({ who, action: "queues", subject });
    log.info({ who, subject }, "dashboard action");
  }

  const router = Router();
  router.get("/amended.css", (_req, res) => {
    permit(res, "all");
    res.type("css").send(AMENDED_CSS);
  });
  router.get("/amended.js", (_req, res) => {
    permit(res, "all");
    res.type("js").send(AMENDED_JS);
  });
  router.use(async (req: Request, res: Response, next: NextFunction) => {
    permit(res, "all");
    res.set("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    res.set("X-Content-Type-Options", "nosniff");
    if (!["GET", "HEAD"].includes(req.method)) await act(req, res);
    else if (req.path.startsWith("/api/")) await showDestinations();
    const send = res.send.bind(res);
    res.send = (body) => send(typeof body === "string" ? body.replace(FOREIGN_FONT, AMENDED) : body);
    next();
  });
  router.use(server.getRouter());
  return router;
}

/** Of a job's data what may be shown. */
function redacted(data: unknown): unknown {
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => {
      if (SHOWN.has(name)) return [name, value];
      const size = typeof value === "string" ? `, ${value.length} characters` : "";
      return [name, `[redacted${size}]`];
    }),
  );
}
