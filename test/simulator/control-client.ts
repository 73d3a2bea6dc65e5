import type { Happening } from "./account.ts";
import type { Call, Input, Reply } from "./control-calls.ts";
import type { SimulatorState } from "./control-routes.ts";
import type { Attempt } from "./deliverer.ts";

/** A simulator in another process. Every call rejects with what the simulator says when it refuses. */
export function connectSimulator(url: string) {
  async function call<T>(method: "GET" | "POST", path: string, body?: object): Promise<T> {
    const response = await fetch(`${url}/_simulator${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    const reply = (await response.json()) as T & { error?: string };
    if (!response.ok) throw new Error(`the simulator refused ${path}: ${reply.error ?? response.status}`);
    return reply;
  }
  const ask =
    <C extends Call>(path: C) =>
    (input: Input<C>) =>
      call<Reply<C>>("POST", path, input);

  return {
    url,
    book: ask("/book"),
    cancel: ask("/cancel"),
    reschedule: ask("/reschedule"),
    cancelEvent: ask("/cancel-event"),
    markNoShow: ask("/no-show"),
    clearNoShow: ask("/no-show/clear"),
    submitRoutingForm: ask("/routing-form"),
    createEventType: ask("/event-type/create"),
    updateEventType: ask("/event-type"),
    deleteEventType: ask("/event-type/delete"),
    subscribe: ask("/subscribe"),
    showOutcomesOf: ask("/outcomes"),
    setFaults: ask("/faults"),
    setToken: ask("/tokens"),
    release: () => ask("/release")({}),
    state: () => call<SimulatorState>("GET", ""),
    attempts: (after = 0) => call<Attempt[]>("GET", `/attempts?after=${after}`),
    history: () => call<Happening[]>("GET", "/history"),
    settled: ({ timeoutMs = 10_000 }: { readonly timeoutMs?: number } = {}) =>
      call<object>("GET", `/settled?timeout_ms=${timeoutMs}`),
  };
}

export type SimulatorClient = ReturnType<typeof connectSimulator>;
