import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { afterEach } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, type SimulatorOptions, startSimulator } from "./simulator.ts";

export const KEY = "receiver-key-not-a-secret";
export const START = "2030-01-15T15:00:00Z";
export const LATER = "2030-01-16T15:00:00Z";
export const PRIYA = { eventType: "intro", start: START, name: "Priya Nair", email: "priya.nair@acme-corp.example" };

export interface Received {
  readonly headers: IncomingMessage["headers"];
  readonly method: string | undefined;
  readonly text: string;
  readonly delivery: {
    readonly event: string;
    readonly created_by: string;
    readonly payload: Readonly<Record<string, unknown>> & {
      readonly scheduled_event: Readonly<Record<string, unknown>>;
    };
  };
}

type Status = number | "nothing";
/** The status to answer with, or "nothing" to leave it unanswered. */
type Answering = (received: Received, count: number) => Status | Promise<Status>;

/** The parts of the API's answers that tests read one by one. */
export interface ApiBody {
  readonly message: string;
  readonly resource: Readonly<Record<string, unknown>> & { readonly uri: string };
  readonly collection: readonly (Readonly<Record<string, unknown>> & { readonly uri: string })[];
  readonly pagination: { readonly count: number; readonly next_page_token: string | null };
}

/** Starts simulators and those who subscribe to them; ends all of it after each test. Called once a test file. */
export function createHarness() {
  const closers: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).toReversed()) await close();
  });

  async function startReceiver(answer: Answering = () => 200) {
    const received: Received[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", async () => {
        const text = Buffer.concat(chunks).toString();
        const one = { headers: request.headers, method: request.method, text, delivery: JSON.parse(text) };
        received.push(one);
        const status = await answer(one, received.length);
        if (status !== "nothing") response.writeHead(status, { location: "/elsewhere" }).end('{"status":"accepted"}');
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    });
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
      received,
      openConnections: () => promisify(server.getConnections.bind(server))(),
    };
  }

  async function start(options: SimulatorOptions = {}): Promise<Simulator> {
    const simulator = await startSimulator(options);
    closers.push(simulator.close);
    return simulator;
  }

  return {
    start,
    startReceiver,

    /** A simulator and one who subscribed to all that happens there. */
    async startBoth(options: SimulatorOptions = {}, answer?: Answering) {
      const receiver = await startReceiver(answer);
      const simulator = await start(options);
      return { ...receiver, simulator, subscription: simulator.subscribe(receiver.url, KEY) };
    },
  };
}

interface ApiAnswer {
  readonly status: number;
  /** The value of a header, or null. */
  readonly header: (name: string) => string | null;
  readonly body: ApiBody;
}

export const eventsOf = (received: readonly Received[]) => received.map(({ delivery }) => delivery.event);

export async function api(
  simulator: Simulator,
  path: string,
  { method = "GET", body, token = DEMO_TOKEN }: { method?: string; body?: object; token?: string } = {},
): Promise<ApiAnswer> {
  const response = await fetch(`${simulator.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: response.status,
    header: (name) => response.headers.get(name),
    body: (response.status === 204 ? {} : await response.json()) as ApiBody,
  };
}
