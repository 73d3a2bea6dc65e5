import type { Cache } from "@calendly-worker/core/calendly/cache";
import type { RequesterPorts } from "@calendly-worker/core/calendly/requester";
import type { Meter } from "@calendly-worker/core/telemetry/meter";

/** Counts and times the requests to Calendly's API, and says whether any are made. */
export function measureApi(meter: Meter): Required<Pick<RequesterPorts, "onAnswer" | "onCircuit">> {
  let isCircuitOpen = false;
  meter.read(async (tell) => tell("apiCircuitOpen", {}, isCircuitOpen ? 1 : 0));
  return {
    onAnswer({ endpoint, status, ms }) {
      const label = typeof status === "number" && status >= 500 ? "5xx" : String(status);
      meter.count("apiRequests", { endpoint, status: label });
      meter.observe("apiTime", { endpoint }, ms / 1_000);
    },
    onCircuit(isOpen) {
      isCircuitOpen = isOpen;
    },
  };
}

/** Tells how often what Calendly's API says was remembered. */
export function measureCache(meter: Meter, cache: Pick<Cache<object>, "stats">): void {
  meter.read(async (tell) => {
    const { hits, misses, stale } = cache.stats();
    for (const [result, total] of Object.entries({ hit: hits, miss: misses, stale })) {
      tell("cacheReads", { result }, total);
    }
  });
}
