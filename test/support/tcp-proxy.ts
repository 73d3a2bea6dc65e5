import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** Stands between a client and a server on loopback, and does what a bad network does. */
export interface TcpProxy {
  readonly port: number;
  /**
   * From now on, stops the connection on which the client sends these bytes: before they reach the server, or after the
   * server has answered them but before the client hears of it. Resolves when that has happened.
   */
  holdAt(bytes: string, when: "before" | "after"): Promise<void>;
  /** Lets what `holdAt` stopped before it reached the server go on. */
  letGo(): void;
  /**
   * From now on, what comes on the connections that are open goes nowhere, as if the other machine were gone: on all, or
   * on those on which the client has sent these bytes.
   */
  swallow(bytes?: string): void;
  /** From now on, every answer comes so many ms later. */
  delay(ms: number): void;
  /** From now on, each connection carries at most so many bytes of answers a second; Infinity ends that. */
  throttle(bytesPerSecond: number): void;
  /** Cuts every open connection in the middle of its next answer: a part of it arrives, and then nothing more. */
  cutInAnswers(): void;
  /** Says on every open connection, to the client, that nothing more will come, and leaves it open. */
  halfClose(): void;
  /** From now on, connections lead to another server; those that are open are closed. */
  leadTo(targetPort: number): void;
  /** How many connections were cut so far. */
  cuts(): number;
  close(): Promise<void>;
}

const MOST_KEPT = 100_000;

interface Connection {
  readonly client: Socket;
  readonly target: Socket;
  /** What the client began with. */
  sent: string;
  isSwallowed: boolean;
  isToBeCut: boolean;
  /** What is under way, in order, and when it arrives. */
  readonly underWay: { readonly data: Buffer; readonly arrivesAt: number }[];
}

export async function startTcpProxy(firstTargetPort: number): Promise<TcpProxy> {
  let targetPort = firstTargetPort;
  const connections = new Set<Connection>();
  let trap: { readonly bytes: string; readonly when: "before" | "after"; readonly sprung: () => void } | undefined;
  let held: (() => void) | undefined;
  let delayMs = 0;
  let bytesPerMs = Infinity;
  let cuts = 0;

  // Without a delay of its own: small answers would be held back for 40 ms each, and nothing be as it is without a proxy.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const target = connect({ port: targetPort, host: "127.0.0.1", noDelay: true });
    const connection: Connection = { client, target, sent: "", isSwallowed: false, isToBeCut: false, underWay: [] };
    connections.add(connection);
    let answering: (() => void) | undefined;
    for (const socket of [client, target]) {
      socket.on("error", () => {});
      socket.on("end", () => socket.destroy());
      socket.on("close", () => {
        connections.delete(connection);
        client.destroy();
        target.destroy();
      });
    }
    client.on("data", (data) => {
      if (connection.sent.length < MOST_KEPT) connection.sent += data.toString("latin1").toLowerCase();
      if (connection.isSwallowed) return;
      if (trap !== undefined && data.includes(trap.bytes)) {
        const { when, sprung } = trap;
        trap = undefined;
        if (when === "before") {
          client.pause();
          held = () => {
            target.write(data);
            client.resume();
          };
          sprung();
          return;
        }
        answering = sprung;
      }
      target.write(data);
    });
    target.on("data", (data) => {
      if (connection.isSwallowed) return;
      if (answering !== undefined) answering();
      else answer(connection, data);
    });
  });

  function answer(connection: Connection, data: Buffer): void {
    const { client } = connection;
    if (connection.isToBeCut) {
      cuts += 1;
      client.write(data.subarray(0, Math.ceil(data.length / 2)), () => client.destroy());
      return;
    }
    const { underWay } = connection;
    const sentAt = Math.max(performance.now() + delayMs, underWay.at(-1)?.arrivesAt ?? 0);
    underWay.push({ data, arrivesAt: sentAt + data.length / bytesPerMs });
    if (underWay.length === 1) arrive(connection);
  }

  /** Hands over what has arrived, never a later answer before an earlier one. */
  function arrive(connection: Connection): void {
    const { client, underWay } = connection;
    for (let [next] = underWay; next !== undefined; [next] = underWay) {
      const inMs = next.arrivesAt - performance.now();
      if (inMs > 0) {
        setTimeout(() => arrive(connection), inMs);
        return;
      }
      underWay.shift();
      if (client.writable) client.write(next.data);
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the proxy got no port");

  return {
    port: address.port,
    holdAt: (bytes, when) =>
      new Promise((resolve) => {
        trap = { bytes, when, sprung: resolve };
      }),
    letGo() {
      held?.();
      held = undefined;
    },
    swallow(bytes = "") {
      for (const connection of connections) connection.isSwallowed ||= connection.sent.includes(bytes);
    },
    delay(ms) {
      delayMs = ms;
    },
    throttle(bytesPerSecond) {
      bytesPerMs = bytesPerSecond / 1_000;
    },
    cutInAnswers() {
      for (const connection of connections) connection.isToBeCut = true;
    },
    halfClose() {
      for (const { client } of connections) client.end();
    },
    leadTo(port) {
      targetPort = port;
      for (const { client } of connections) client.destroy();
    },
    cuts: () => cuts,
    async close() {
      for (const { client, target } of connections) for (const socket of [client, target]) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
