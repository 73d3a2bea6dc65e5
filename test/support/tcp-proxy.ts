import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** Stands between a client and a server on loopback, and can stop at a chosen byte sequence. */
export interface TcpProxy {
  readonly port: number;
  /**
   * From now on, stops the connection on which the client sends these bytes: before they reach the server, or after the
   * server has answered them but before the client hears of it. Resolves when that has happened.
   */
  holdAt(bytes: string, when: "before" | "after"): Promise<void>;
  /**
   * From now on, what comes on the connections that are open goes nowhere, as if the other machine were gone: on all, or
   * on those on which the client has sent these bytes.
   */
  swallow(bytes?: string): void;
  close(): Promise<void>;
}

const MOST_KEPT = 100_000;

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const swallowed = new Set<Socket>();
  /** Both ends of each connection, with what the client began with. */
  const connections = new Map<Socket, { readonly target: Socket; sent: string }>();
  let trap: { readonly bytes: string; readonly when: "before" | "after"; readonly sprung: () => void } | undefined;

  const server = createServer((client) => {
    const target = connect(targetPort, "127.0.0.1");
    let answering: (() => void) | undefined;
    const connection = { target, sent: "" };
    connections.set(client, connection);
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        connections.delete(client);
        client.destroy();
        target.destroy();
      });
    }
    client.on("data", (data) => {
      if (connection.sent.length < MOST_KEPT) connection.sent += data.toString("latin1").toLowerCase();
      if (swallowed.has(client)) return;
      if (trap !== undefined && data.includes(trap.bytes)) {
        const { when, sprung } = trap;
        trap = undefined;
        if (when === "before") {
          client.pause();
          sprung();
          return;
        }
        answering = sprung;
      }
      target.write(data);
    });
    target.on("data", (data) => {
      if (swallowed.has(target)) return;
      if (answering === undefined) client.write(data);
      else answering();
    });
  });
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
    swallow(bytes = "") {
      for (const [client, { target, sent }] of connections) {
        if (sent.includes(bytes)) for (const socket of [client, target]) swallowed.add(socket);
      }
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
