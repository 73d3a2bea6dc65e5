import { Router } from "express";

/** Liveness, readiness and the short health of the integration. No details: this is the public face. */
export function healthRoutes(ports: {
  readonly isReady: () => Promise<boolean>;
  /** Whether the last check of tokens and signing keys found something that somebody should do. */
  readonly isAdvised: () => Promise<boolean>;
}): Router {
  const router = Router();
  router.get("/livez", (_req, res) => {
    res.json({ status: "alive" });
  });
  router.get("/readyz", async (_req, res) => {
    const ready = await ports.isReady();
    res.status(ready ? 200 : 503).json({ status: ready ? "ready" : "not_ready" });
  });
  router.get("/api/health/calendly", async (_req, res) => {
    const ready = await ports.isReady();
    if (!ready) res.status(503).json({ status: "down" });
    else res.json({ status: (await ports.isAdvised()) ? "degraded" : "ok" });
  });
  return router;
}
