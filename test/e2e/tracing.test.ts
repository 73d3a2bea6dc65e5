import { createServer } from "node:http";
import { disconnect } from "@calendly-worker/core/redis/connect";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { decode } from "@msgpack/msgpack";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import type { AppProcess } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver } from "../support/deliveries.ts";
import { listenOnLoopback } from "../support/listen.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { bodyOf, type Ingest, openOutcomeLog, startIngest, startWorker } from "../support/stack.ts";
import { until } from "../support/until.ts";

const TRACING = new URL("../../packages/core/dist/telemetry/start-tracing.js", import.meta.url).pathname;
/** Says at the end whether the tracer was loaded. */
const PROBE = `import { createRequire } from "node:module";
const { cache } = createRequire(${JSON.stringify(import.meta.url)});
process.on("exit", () => console.log("TRACER", Object.keys(cache).some((file) => file.includes("/dd-trace/"))));`;
const NODE_OPTIONS = ["--import", TRACING, "--import", `data:text/javascript,${encodeURIComponent(PROBE)}`];

interface Span {
  readonly trace_id: bigint;
  readonly span_id: bigint;
  readonly parent_id: bigint;
  readonly name: string;
  readonly resource: string;
  readonly service: string;
  readonly meta: Readonly<Record<string, string>>;
}

const spans: Span[] = [];
/** Takes what the tracers send, as Datadog's agent does. */
const agent = createServer(async (req, res) => {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk);
  if (req.url?.endsWith("/traces")) {
    const traces = decode(Buffer.concat(chunks), { useBigInt64: true }) as Span[][];
    spans.push(...traces.flat());
  }
  const info = { endpoints: ["/v0.4/traces"], version: "7.60.0" };
  res
    .writeHead(200, { "content-type": "application/json" })
    .end(JSON.stringify(req.url === "/info" ? info : { rate_by_service: {} }));
});

let server: RedisServer;
let simulator: Simulator;
const apps: AppProcess[] = [];

beforeAll(async () => {
  server = await startRedis();
  simulator = await startSimulator({ seed: 5 });
});

afterAll(async () => {
  await Promise.all(apps.map((app) => app.end()));
  await simulator.close();
  await server.stop();
  agent.close();
});

const addressOfAgent = listenOnLoopback(agent);

test("one trace goes from the delivery through its job and what is asked of Calendly to the commit, and says nobody's name", async () => {
  const variables = {
    DD_TRACE_ENABLED: "true",
    DD_TRACE_AGENT_URL: await addressOfAgent,
    DD_INSTRUMENTATION_TELEMETRY_ENABLED: "false",
    DD_REMOTE_CONFIGURATION_ENABLED: "false",
    DD_TRACE_FLUSH_INTERVAL: "200",
  };
  const ingest: Ingest = await startIngest(server.url, variables, NODE_OPTIONS);
  const worker = startWorker(
    server.url,
    { ...variables, CALENDLY_API_BASE_URL: simulator.url, CALENDLY_API_TOKEN: DEMO_TOKEN },
    NODE_OPTIONS,
  );
  apps.push(ingest, worker);
  await Promise.all([ingest.untilLogged("ready for deliveries", 40_000), worker.untilLogged("taking jobs", 40_000)]);
  const redis = await connectRedis(server.url);
  const outcomes = await openOutcomeLog(redis);
  const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
  const invitee = simulator.account.book({ eventType: "intro", start: "2030-01-15T15:00:00Z", ...person });
  const [happening] = simulator.account.history();
  if (happening === undefined) throw new Error("nothing has happened");
  expect((await deliver(`${ingest.webhookUrl}?g=2`, bodyOf(happening))).status).toBe(200);
  await outcomes.untilThere([`${invitee.id}.confirmed`]);
  disconnect(redis);

  const commit = await until("the commit is told", () => spans.find(({ name }) => name === "booking.commit"), {
    deadlineMs: 20_000,
  });
  const trace = () => spans.filter(({ trace_id }) => trace_id === commit.trace_id);
  await until("the delivery is told", () =>
    trace().some(({ name }) => name.endsWith(".request") && name !== "calendly.request"),
  );
  await until("its job is told", () => trace().some(({ name }) => name === "bullmq.processJob"));
  await until("what was asked of Calendly is told", () => trace().some(({ name }) => name === "calendly.request"));
  // Each hangs on the one before.
  const byId = new Map(trace().map((span) => [span.span_id, span]));
  const above: string[] = [];
  for (let span: Span | undefined = commit; span !== undefined; span = byId.get(span.parent_id)) above.push(span.name);
  expect(above[0]).toBe("booking.commit");
  expect(above.indexOf("bullmq.processJob")).toBeGreaterThan(0);
  expect(above.at(-1)).toMatch(/^(web|express|http)\.request$/);
  expect(trace().find(({ name }) => name === "calendly.request")).toMatchObject({ resource: "GET /event_types/{id}" });

  const told = JSON.stringify(spans, (_key, value) => (typeof value === "bigint" ? String(value) : value));
  expect(told).not.toMatch(/Priya|acme-corp|demo-token|Bearer/);
  const line = worker.logs.find(({ msg, job }) => msg === "job ended" && job === "invitee.created");
  expect(line).toMatchObject({ dd: { trace_id: expect.stringMatching(/^[0-9a-f]+$/) } });
  await worker.end();
  expect(worker.output()).toContain("TRACER true");
});

test("switched off, nothing of it is loaded", async () => {
  // What the others have still to say comes before.
  await Promise.all(apps.map((app) => app.end()));
  const before = spans.length;
  const worker = startWorker(server.url, { DD_TRACE_AGENT_URL: await addressOfAgent }, NODE_OPTIONS);
  await worker.untilLogged("taking jobs");
  await worker.end();
  expect(worker.output()).toContain("TRACER false");
  expect(spans.length).toBe(before);
});
