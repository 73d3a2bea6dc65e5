import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";

// The least that taking a delivery can cost on this platform: its bytes are read, their signature is compared, their JSON
// is parsed, and one script drops repeats and appends. No schema, log, metric, limit or deadline.

const { REDIS_URL = "", SIGNING_KEY = "" } = process.env;
const KEPT_MS = 3_600_000;
const TAKE = `
if redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1]) then
  redis.call('LPUSH', KEYS[2], ARGV[2])
  return 1
end
return 0`;

const redis = new Redis(REDIS_URL, { disableClientInfo: true });
const sha = String(await redis.script("LOAD", TAKE));

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", async () => {
    const body = Buffer.concat(chunks);
    const header = String(request.headers["calendly-webhook-signature"]);
    const [, time, digest = ""] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header) ?? [];
    const expected = createHmac("sha256", SIGNING_KEY).update(`${time}.`).update(body).digest();
    const given = Buffer.from(digest, "hex");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return answer(401, "refused");
    const { event, payload } = JSON.parse(body.toString("utf8"));
    const isNew = await redis.evalsha(sha, 2, `seen:${event}/${payload.uri}`, "deliveries", KEPT_MS, body);
    answer(200, isNew === 1 ? "accepted" : "duplicate");
  });

  function answer(status: number, what: string): void {
    const text = `{"status":"${what}"}`;
    response.writeHead(status, { "content-type": "application/json", "content-length": text.length });
    response.end(text);
  }
});

server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ msg: "ready for deliveries", url: `http://127.0.0.1:${port}` })}\n`);
});
process.on("SIGTERM", () => process.exit());
process.on("disconnect", () => process.exit());
