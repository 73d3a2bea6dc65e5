import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

// Nine destinations that each fail in a way of their own, in a process of their own: what they cost is not to be measured
// with those that are well. Sends their addresses to whoever forked it.

const TEN_MEGABYTES = Buffer.alloc(10_000_000);
const answers: readonly Parameters<typeof createServer>[1][] = [
  (_req, res) => void res.writeHead(500).end(),
  () => {},
  () => {},
  (req) => void req.socket.resetAndDestroy(),
  (_req, res) => void res.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  (_req, res) => void res.writeHead(500).end(TEN_MEGABYTES),
  (_req, res) => void res.writeHead(200, { "content-length": "10000000" }).flushHeaders(),
  (_req, res) => void res.writeHead(429, { "retry-after": "60" }).end(),
  (_req, res) => void res.write("half"),
];

const urls = await Promise.all(
  answers.map(async (answer) => {
    const server = createServer(answer);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }),
);
process.send?.(urls);
process.once("disconnect", () => process.exit());
