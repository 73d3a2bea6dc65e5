import { Router } from "express";

/** Liveness and readiness of the worker, for its orchestrator. */
export function healthRoutes(ports: { readonly isReady: () => Promise<boolean> }): Router {
  const router = Router();
  router.get("/livez", (_req, res) => {
    res.json({ status: "alive" });
  });
  router.get("/readyz", async (_req, res) => {
    const ready = await ports.isReady();
    res.status(ready ? 200 : 503).json({ status: ready ? "ready" : "not_ready" });
  });
  return router;
}
