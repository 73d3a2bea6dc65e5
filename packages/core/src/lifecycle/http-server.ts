import { once } from "node:events";
import { createServer, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface HttpServer {
  /** Where it listens, for example `http://127.0.0.1:3000`. */
  readonly url: string;
  /** Takes no new connection and lets requests in flight finish, for `deadlineMs` at most. */
  close(deadlineMs: number): Promise<void>;
}

const IDLE_CHECK_MS = 50;
/** Of one process. Calendly needs a few; whoever holds more open holds them to do harm. */
export const MOST_CONNECTIONS = 2_000;
/** What has been begun to be said when closing begins may be finished in this time; a client that trickles is not waited for. */
const UNFINISHED_REQUEST_MS = 1_000;

/** Starts listening. Port 0 takes a free one. Rejects with a message that says which address could not be had. */
export async function listen(
  handler: RequestListener,
  { host, port, most = MOST_CONNECTIONS }: { readonly host: string; readonly port: number; readonly most?: number },
): Promise<HttpServer> {
  const answering = new Set<ServerResponse>();
  const sockets = new Set<Socket>();
  let closing = false;
  const server = createServer(
    // A sender who trickles is cut off after Calendly's own read time-out, and noticed soon.
    { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 2_000 },
    (request, response) => {
      answering.add(response);
      response.once("close", () => answering.delete(response));
      // One that is kept alive is as old as what it said last.
      if (sockets.delete(request.socket)) sockets.add(request.socket);
      if (closing) response.shouldKeepAlive = false;
      handler(request, response);
    },
  );
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    if (sockets.size > most) giveUpOldest();
  });

  /**
   * Not the newest, which may be Calendly's: a delivery takes milliseconds, and is not among the oldest that wait. Whoever
   * has not sent all of a request, or does not take its answer, waits; only what is being worked on is spared.
   */
  function giveUpOldest(): void {
    const busy = new Set(
      [...answering].filter(({ req, writableEnded }) => req.complete && !writableEnded).map(({ socket }) => socket),
    );
    for (const socket of sockets) {
      if (busy.has(socket)) continue;
      sockets.delete(socket);
      socket.destroy();
      return;
    }
  }
  const listening = once(server, "listening");
  server.listen(port, host);
  try {
    await listening;
  } catch (cause) {
    throw new Error(`cannot listen on ${host}, port ${port}: ${describe(cause)}`, { cause });
  }
  const address = server.address() as AddressInfo;
  const shownHost = address.family === "IPv6" ? `[${address.address}]` : address.address;

  return {
    url: `http://${shownHost}:${address.port}`,
    async close(deadlineMs) {
      closing = true;
      // A connection kept alive would hold the server open for as long as its client likes.
      for (const response of answering) response.shouldKeepAlive = false;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const sweep = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
      const trickling = setTimeout(() => {
        const busy = new Set([...answering].map(({ socket }) => socket));
        for (const socket of sockets) if (!busy.has(socket)) socket.destroy();
      }, UNFINISHED_REQUEST_MS);
      const deadline = setTimeout(() => server.closeAllConnections(), deadlineMs);
      await closed;
      clearTimeout(trickling);
      clearInterval(sweep);
      clearTimeout(deadline);
    },
  };
}

function describe(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
  return code === "EADDRINUSE" ? "the port is taken by another process" : code;
}
