import type { Metrics } from "@calendly-worker/core/telemetry/metrics";
import { Router } from "express";

/** Prometheus' text format. Answers 503 while what is measured cannot be read. */
export function metricsRoute(metrics: () => Metrics | undefined): Router {
  const router = Router();
  router.get("/metrics", async (_req, res) => {
    const found = metrics();
    const text = await found?.text().catch(() => undefined);
    if (found === undefined || text === undefined) {
      res.status(503).json({ error: { code: "redis_unavailable", message: "Redis cannot be read now." } });
      return;
    }
    res.set("Content-Type", found.contentType).send(text);
  });
  return router;
}
