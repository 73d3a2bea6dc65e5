import { Router } from "express";
import { readerFor } from "../access.ts";
import type { Health } from "../health.ts";

export interface HealthPorts {
  readonly isReady: () => Promise<boolean>;
  /** Undefined until Redis has been reached. */
  readonly health: () => Promise<Health | undefined>;
}

/** Liveness and readiness, for the orchestrator, who bears no token. They say one word. */
export function probeRoutes({ isReady }: HealthPorts): Router {
  const router = Router();
  router.get("/livez", (_req, res) => {
    res.json({ status: "alive" });
  });
  router.get("/readyz", async (_req, res) => {
    const ready = await isReady();
    res.status(ready ? 200 : 503).json({ status: ready ? "ready" : "not_ready" });
  });
  return router;
}

/** The health of the integration; its details for those who may see all. */
export function healthRoute({ health }: HealthPorts): Router {
  const router = Router();
  router.get("/api/health/calendly", async (_req, res) => {
    const found = (await health()) ?? { status: "down", reasons: ["redis_not_writable"], details: {} };
    const { status, reasons, details } = found;
    const mayLook = readerFor(res).may === "all";
    res.status(status === "down" ? 503 : 200).json(mayLook ? { status, reasons, details } : { status });
  });
  return router;
}
