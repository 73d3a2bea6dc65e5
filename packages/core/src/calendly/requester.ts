import { setTimeout as pause } from "node:timers/promises";
import {
  BrokenCircuitError,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  retry,
  TaskCancelledError,
  wrap,
} from "cockatiel";
import type { Trace } from "../telemetry/trace.ts";
import { endingWith } from "./ending.ts";
import { CalendlyError, errorOfAnswer, readBudget } from "./errors.ts";
import type { ApiGate, ApiToken, Priority } from "./gate.ts";

/** How a call may be made. */
export interface CallOptions {
  readonly priority?: Priority;
  /** Makes the call with this token and no other, to see whether it works. */
  readonly token?: ApiToken;
  /** Ends the call. */
  readonly signal?: AbortSignal;
  /** Called for each request that is made, each page and each repetition too. */
  readonly onRequest?: () => void;
  /** Called for each item of a list that does not fit, which is left out then; without it such a list rejects. */
  readonly onUnreadable?: (error: CalendlyError) => void;
}

/** More tries than the first, for what is safe to ask twice. */
const RETRIES = 2;
const RETRY_FIRST_MS = 200;
/** A part of a path that is no word. */
const ID = /\/(?![a-z_]+(\/|$))[^/]+/g;
const FAILURES_BEFORE_OPEN = 8;
const HALF_OPEN_AFTER_MS = 5_000;

export interface ApiRequest {
  /** Names it in errors. */
  readonly call: string;
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** Scopes that an answer proves. */
  readonly scopes: readonly string[];
}

export interface RequesterPorts {
  readonly gate: ApiGate;
  /** Without a slash at its end. */
  readonly baseUrl: string;
  /** For one request, from its start to the last byte of the answer. */
  readonly timeoutMs: number;
  /** For a call with all its tries. */
  readonly totalTimeoutMs: number;
  /** How long a call waits for budget before it rejects as `rate_limited`. */
  readonly patienceMs?: number;
  /** Ends all calls in flight. */
  readonly signal: AbortSignal;
  /** Told of every request when it has ended. */
  readonly onAnswer?: (answer: ApiAnswer) => void;
  /** Told when requests are hardly made any more because Calendly keeps failing, and when they are again. */
  readonly onCircuit?: (isOpen: boolean) => void;
  readonly trace?: Trace;
}

export interface ApiAnswer {
  /** Method and path, with `{id}` in place of ids. */
  readonly endpoint: string;
  /** Of HTTP, or why there is none. */
  readonly status: number | "timed_out" | "unreachable";
  readonly ms: number;
}

/** Makes requests to Calendly's API: each through the gate, again where that is safe, and none while it keeps failing. */
export interface Requester {
  /** The text of a good answer. Rejects with a CalendlyError. */
  request(request: ApiRequest, options?: CallOptions): Promise<string>;
}

export function createRequester(ports: RequesterPorts): Requester {
  const { gate, baseUrl, timeoutMs, totalTimeoutMs, patienceMs = 0 } = ports;
  const trace: Trace = ports.trace ?? ((_operation, _resource, work) => work(() => {}));

  const isPassing = (error: unknown) =>
    error instanceof CalendlyError && (error.code === "unavailable" || error.code === "timed_out");
  const passing = handleWhen(isPassing);
  const breaker = circuitBreaker(passing, {
    halfOpenAfter: HALF_OPEN_AFTER_MS,
    breaker: new ConsecutiveBreaker(FAILURES_BEFORE_OPEN),
  });
  breaker.onStateChange((state) => ports.onCircuit?.(state !== CircuitState.Closed));
  const again = retry(passing, {
    maxAttempts: RETRIES,
    backoff: new ExponentialBackoff({ initialDelay: RETRY_FIRST_MS }),
  });
  const repeated = wrap(again, breaker);

  async function perform(request: ApiRequest, options: CallOptions = {}): Promise<string> {
    const stops = options.signal === undefined ? [ports.signal] : [ports.signal, options.signal];
    using ending = endingWith(stops, totalTimeoutMs);
    const { signal } = ending;
    const policy = request.method === "GET" ? repeated : breaker;
    try {
      return await policy.execute(() => attempt(request, options, signal), signal);
    } catch (error) {
      if (error instanceof CalendlyError) throw error;
      if (error instanceof BrokenCircuitError) {
        throw new CalendlyError(
          "unavailable",
          `${request.call} was not asked for: Calendly has just failed repeatedly`,
        );
      }
      if (error instanceof TaskCancelledError || signal.aborted) throw errorOfEnd(request.call, signal);
      throw error;
    }
  }

  /** One request; a second one where Calendly takes the first token no more and there is another. */
  async function attempt(request: ApiRequest, options: CallOptions, signal: AbortSignal): Promise<string> {
    for (let tries = 1; ; tries++) {
      const { ticket, token } = await enter(request, options, signal);
      options.onRequest?.();
      const { status, headers, text } = await send(request, ticket, token, signal);
      const error = status < 300 ? undefined : errorOfAnswer(request.call, status, headers, text);
      const fault = error?.details.tokenFault;
      await gate.leave({
        ticket,
        token,
        budget: readBudget(headers),
        isRefused: status === 429,
        ...(fault && { tokenFault: fault }),
        provenScopes: error === undefined || error.code === "not_found" ? request.scopes : [],
      });
      if (error === undefined) return text;
      const hasOther = fault !== undefined && options.token === undefined && tries < gate.tokens.length;
      if (!hasOther) throw error;
    }
  }

  async function enter(request: ApiRequest, { priority = "live", token }: CallOptions, signal: AbortSignal) {
    const end = performance.now() + patienceMs;
    for (;;) {
      const entry = await gate.enter({ priority, ...(token && { token }) });
      if (entry.kind === "go") return entry;
      if (entry.kind === "no_token") {
        throw new CalendlyError("unauthenticated", `${request.call} was not asked for: Calendly takes no token`);
      }
      if (performance.now() + entry.ms > end) {
        const message = `${request.call} was not asked for: the budget of the account is used up`;
        throw new CalendlyError("rate_limited", message, { retryAfterMs: entry.ms });
      }
      await pause(entry.ms, undefined, { signal }).catch(() => {
        throw errorOfEnd(request.call, signal);
      });
    }
  }

  async function send(
    { call, method, path, query, body }: ApiRequest,
    ticket: string,
    token: ApiToken,
    signal: AbortSignal,
  ) {
    const startedAt = performance.now();
    const endpoint = `${method} ${path.replaceAll(ID, "/{id}")}`;
    const tell = (status: ApiAnswer["status"]) =>
      ports.onAnswer?.({ endpoint, status, ms: performance.now() - startedAt });
    const url = new URL(`${baseUrl}${path}`);
    url.search = new URLSearchParams(query).toString();
    using ending = endingWith([signal], timeoutMs);
    try {
      const ask = async (tag: (name: string, value: string | number) => void) => {
        const response = await fetch(url, {
          method,
          headers: {
            authorization: `Bearer ${token.value}`,
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          redirect: "error",
          signal: ending.signal,
        });
        tag("http.status_code", response.status);
        return { status: response.status, headers: response.headers, text: await response.text() };
      };
      const answer = await trace("calendly.request", endpoint, ask);
      tell(answer.status);
      return answer;
    } catch (cause) {
      tell(ending.isTimeUp() ? "timed_out" : "unreachable");
      await gate.leave({ ticket, token, budget: {}, isRefused: false, provenScopes: [] });
      if (signal.aborted) throw errorOfEnd(call, signal);
      if (ending.isTimeUp()) throw new CalendlyError("timed_out", `Calendly did not answer in time to ${call}`);
      throw new CalendlyError("unavailable", `Calendly could not be reached for ${call}`, {}, { cause });
    }
  }

  return { request: perform };
}

/** Why a call was ended before it had an answer: its time was up, or whoever made it does not want it any more. */
function errorOfEnd(call: string, { reason }: AbortSignal): CalendlyError {
  const isTimeUp = reason instanceof Error && reason.name === "TimeoutError";
  return isTimeUp
    ? new CalendlyError("timed_out", `Calendly did not answer in time to ${call}, however often it was asked`)
    : new CalendlyError("unavailable", `${call} was ended before there was an answer`);
}
