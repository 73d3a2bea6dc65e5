import type { z } from "zod";
import type { Happening } from "./account.ts";
import type { Booked, CALLS } from "./control-routes.ts";
import type { Attempt } from "./deliverer.ts";

type Input<Call extends keyof typeof CALLS> = z.input<(typeof CALLS)[Call]>;

/** A simulator in another process. Every call rejects with what the simulator says when it refuses. */
export function connectSimulator(url: string) {
  async function call<Reply>(method: "GET" | "POST", path: string, body?: object): Promise<Reply> {
    const response = await fetch(`${url}/_simulator${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const reply = (await response.json()) as Reply & { error?: string };
    if (!response.ok) throw new Error(`the simulator refused ${path}: ${reply.error ?? response.status}`);
    return reply;
  }

  return {
    url,
    book: (booking: Input<"/book">) => call<Booked>("POST", "/book", booking),
    cancel: (input: Input<"/cancel">) => call<Booked>("POST", "/cancel", input),
    reschedule: (input: Input<"/reschedule">) => call<Booked>("POST", "/reschedule", input),
    setFaults: (input: Input<"/faults">) => call<object>("POST", "/faults", input),
    subscribe: (input: Input<"/subscribe">) => call<object>("POST", "/subscribe", input),
    release: () => call<object>("POST", "/release", {}),
    attempts: (after = 0) => call<Attempt[]>("GET", `/attempts?after=${after}`),
    history: () => call<Happening[]>("GET", "/history"),
    settled: (timeoutMs = 10_000) => call<object>("GET", `/settled?timeout_ms=${timeoutMs}`),
  };
}

export type SimulatorClient = ReturnType<typeof connectSimulator>;
