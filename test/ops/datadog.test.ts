import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { METRICS, type MetricSpec } from "@calendly-worker/core/telemetry/metrics";
import { afterAll, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { datadogNameOf } from "../../ops/datadog/render.ts";
import { readMonitors } from "../../ops/datadog/sync.ts";
import { startNode } from "../support/app-process.ts";
import { listenOnLoopback } from "../support/listen.ts";

const MAIN = new URL("../../ops/datadog/main.ts", import.meta.url).pathname;
const wanted = readMonitors(new URL("../../ops/datadog/monitors/", import.meta.url));
const KEYS = { DD_API_KEY: "an-api-key", DD_APP_KEY: "an-app-key" };

// biome-ignore lint/suspicious/noExplicitAny: monitors as they come and go
type Monitor = Record<string, any>;

/** Datadog's monitors, as far as they are asked for. */
let fake: { server: Server; url: string };
let monitors: Monitor[];
let writes: string[];
let refuse: ((monitor: Monitor) => boolean) | undefined;

beforeAll(async () => {
  const server = createServer(async (req, res) => {
    const body = await bodyOf(req);
    const answer = (status: number, content: unknown) =>
      res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content));
    if (req.headers["dd-api-key"] !== KEYS.DD_API_KEY) return answer(403, { errors: ["Forbidden"] });
    if (req.method === "GET") return answer(200, monitors);
    writes.push(`${req.method} ${req.url}`);
    if (refuse?.(body)) return answer(400, { errors: ["The value provided for parameter 'query' is invalid"] });
    const id = req.method === "POST" ? 100 + monitors.length : Number(req.url?.split("/").at(-1));
    const monitor = { ...body, id, created: "2026-11-23T10:00:00Z", overall_state: "OK" };
    monitors = [...monitors.filter((one) => one["id"] !== id), monitor];
    return answer(200, monitor);
  });
  fake = { server, url: await listenOnLoopback(server) };
});

beforeEach(() => {
  monitors = [
    {
      id: 1,
      name: "Somebody else's",
      type: "query alert",
      query: "avg:x{*} > 1",
      message: "",
      tags: ["team:x"],
      options: {},
    },
  ];
  writes = [];
  refuse = undefined;
});

afterAll(() => void fake.server.close());

async function bodyOf(req: IncomingMessage): Promise<Monitor> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk);
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
}

async function sync(...args: string[]) {
  const run = startNode([MAIN, "--json", "--api-url", fake.url, ...args], KEYS);
  const { code } = await run.exited;
  const said = /^\{.*^\}$/ms.exec(run.output())?.[0];
  const { monitors: done = [] } = said === undefined ? {} : JSON.parse(said);
  return { code, output: run.output(), done: done as { id: string; what: string; why?: string }[] };
}

const all = (what: string) => wanted.map(({ id }) => ({ id, what }));

test("a dry run says what it would do, and does nothing", async () => {
  expect(await sync("--dry-run")).toMatchObject({ code: 0, done: all("created") });
  expect(writes).toEqual([]);
});

test("creates what is not there, and then there is nothing to do", async () => {
  expect(await sync()).toMatchObject({ code: 0, done: all("created") });
  expect(monitors).toHaveLength(wanted.length + 1);
  writes = [];
  expect(await sync()).toMatchObject({ code: 0, done: all("unchanged") });
  expect(writes).toEqual([]);
});

test("puts right what somebody has changed, and leaves other people's monitors alone", async () => {
  await sync();
  const foreign = structuredClone(monitors.find(({ id }) => id === 1));
  const changed = monitors.find(({ tags }) => tags.includes("calendly-worker-monitor:conflicts")) as Monitor;
  changed["query"] = "max(last_10m):max:calendly.conflicts_open{*} > 99";
  changed["options"].thresholds = { critical: 99 };
  monitors.push({
    ...structuredClone(changed),
    id: 900,
    tags: ["managed-by:calendly-worker", "calendly-worker-monitor:old"],
  });
  writes = [];
  const { code, done } = await sync();
  expect(code).toBe(0);
  expect(done.filter(({ what }) => what !== "unchanged")).toEqual([
    { id: "conflicts", what: "updated" },
    { id: "old", what: "left over" },
  ]);
  expect(writes).toEqual([`PUT /api/v1/monitor/${changed["id"]}`]);
  expect(monitors.find(({ id }) => id === 1)).toEqual(foreign);
  expect((await sync()).done.filter(({ what }) => what === "updated")).toEqual([]);
});

test("says what failed, in Datadog's words, and does the rest", async () => {
  refuse = ({ name }) => String(name).includes("conflict");
  const { code, done } = await sync();
  expect(code).toBe(1);
  const why = "Datadog answered 400: The value provided for parameter 'query' is invalid";
  expect(done.filter(({ what }) => what === "failed")).toEqual([{ id: "conflicts", what: "failed", why }]);
  expect(monitors).toHaveLength(wanted.length);
});

test("says which keys it needs, and when they are wrong", async () => {
  const without = startNode([MAIN], {});
  expect((await without.exited).code).toBe(1);
  expect(without.output()).toContain("expected DD_API_KEY and DD_APP_KEY");
  const wrong = startNode([MAIN, "--api-url", fake.url], { DD_API_KEY: "another", DD_APP_KEY: "x" });
  expect((await wrong.exited).code).toBe(1);
  expect(wrong.output()).toContain("Datadog answered 403: Forbidden (are the two keys right");
  expect(wrong.output()).not.toContain("another");
});

test("the monitors ask only for metrics that the agent scrapes, and name entries of the runbook", () => {
  const known = new Set(Object.values<MetricSpec>(METRICS).map(datadogNameOf));
  const runbook = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8").toLowerCase();
  for (const { id, query, message } of wanted) {
    const names = [...query.matchAll(/calendly\.([a-z_]+)(?:\.count)?\{/g)].map(([, name]) => name ?? "");
    expect([id, names.filter((name) => !known.has(name))]).toEqual([id, []]);
    expect(names.length).toBeGreaterThan(0);
    const [, entry] = /#(\w+)/.exec(message) ?? [];
    expect(runbook).toContain(`### ${entry}`);
  }
  expect([...new Set(wanted.flatMap(({ tags }) => tags.filter((tag) => tag.startsWith("group:"))))]).toEqual([
    "group:api-token-usage",
    "group:booking-flow",
    "group:webhook-reception",
  ]);
});
