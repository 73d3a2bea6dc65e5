import { isSameSecret } from "@calendly-worker/core/calendly/secrets";
import { type Request, Router } from "express";
import type { Health } from "../health.ts";

/** Liveness and readiness of the worker, for its orchestrator, and the health of the integration. */
export function healthRoutes(ports: {
  readonly isReady: () => Promise<boolean>;
  /** Undefined until Redis has been reached. */
  readonly health: () => Promise<Health | undefined>;
  /** Whoever bears it is told the details; nobody where there is none. */
  readonly opsToken: string | undefined;
}): Router {
  const { isReady, health, opsToken } = ports;
  const router = Router();
  router.get("/livez", (_req, res) => {
    res.json({ status: "alive" });
  });
  router.get("/readyz", async (_req, res) => {
    const ready = await isReady();
    res.status(ready ? 200 : 503).json({ status: ready ? "ready" : "not_ready" });
  });
  router.get("/api/health/calendly", async (req, res) => {
    const found = (await health()) ?? { status: "down", reasons: ["redis_not_writable"], details: {} };
    const { status, reasons, details } = found;
    res.status(status === "down" ? 503 : 200).json(mayLook(req, opsToken) ? { status, reasons, details } : { status });
  });
  return router;
}

function mayLook(req: Request, opsToken: string | undefined): boolean {
  const [, given] = /^Bearer (.+)$/.exec(req.get("authorization") ?? "") ?? [];
  return given !== undefined && opsToken !== undefined && isSameSecret(given, opsToken);
}
