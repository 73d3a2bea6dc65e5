import type { Meter } from "@calendly-worker/core/telemetry/meter";
import { Router } from "express";
import { permit } from "../access.ts";

/** For Prometheus. */
export function metricsRoute(meter: Meter): Router {
  const router = Router();
  router.get("/metrics", async (_req, res) => {
    permit(res, "metrics");
    const text = await meter.text();
    res.type(meter.contentType).send(text);
  });
  return router;
}
