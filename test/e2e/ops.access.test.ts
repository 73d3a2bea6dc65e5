import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createApiClient } from "../support/api-client.ts";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { deliver } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { METRICS_TOKEN, type Stack, startStack } from "../support/stack.ts";
import { until } from "../support/until.ts";

const OPS = "ops-token-of-the-tests";
const BILLING = "billing-token-of-the-tests";
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/** For the orchestrator, who bears no token: they say one word. */
const OPEN = ["/livez", "/readyz"];

let server: RedisServer;
let stack: Stack;
let face: string;
let metricsFace: string;

beforeAll(async () => {
  server = await startRedis();
  stack = await startStack(server.url, {
    OPS_API_TOKEN: OPS,
    CALENDLY_CONSUMER_TOKENS: `billing ${BILLING}`,
    OPS_DASHBOARD_WRITABLE: "true",
  });
  face = String((await stack.worker.untilLogged("listening"))["url"]);
  metricsFace = String((await stack.ingest.untilLogged("telling metrics"))["url"]);
});

afterAll(async () => {
  await stack.stop();
  await server.stop();
});

const basic = (password: string, user = "ann") => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

/** Every address that the sources of the worker name, those of the API and those of the queue dashboard. */
function routesOfTheWorker(): string[] {
  const sources = globSync("apps/worker/src/**/*.ts", { cwd: new URL("../../", import.meta.url).pathname });
  const named = sources.flatMap((file) => {
    const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
    return [...text.matchAll(/\b(?:router|app)\.(?:get|post|put|patch|delete|all)\("([^"]+)"/g)].map(
      ([, path]) => path ?? "",
    );
  });
  const api = Object.keys(JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8")).paths);
  const fromWorker = createRequire(new URL("../../apps/worker/package.json", import.meta.url));
  const { appRoutes } = fromWorker("@bull-board/api/dist/routes");
  const board = [...appRoutes.entryPoint.route, ...appRoutes.api.map(({ route }: { route: string }) => route)];
  return [...new Set([...named, ...api, ...board.map((path) => `/ops/queues${path}`)])];
}

const filledIn = (path: string) => path.replaceAll(/[:{](\w+)}?/g, "deliveries");

describe("whoever bears no token", () => {
  test("is told 401 by every address of the worker's internal face, and nothing else", async () => {
    const paths = [
      ...routesOfTheWorker().filter((path) => !OPEN.includes(path)),
      "/",
      "/nothing",
      "/ops/queues/static/js/main.js",
    ];
    expect(paths.length).toBeGreaterThan(40);
    expect(paths).toEqual(
      expect.arrayContaining(["/ops", "/metrics", "/api/bookings", "/api/docs", "/ops/queues/api/queues"]),
    );
    for (const path of paths) {
      for (const method of METHODS) {
        const response = await fetch(`${face}${filledIn(path)}`, { method, redirect: "manual" });
        expect([method, path, response.status]).toEqual([method, path, 401]);
        const challenge = path.startsWith("/ops") ? 'Basic realm="Calendly worker", charset="UTF-8"' : "Bearer";
        expect(response.headers.get("www-authenticate")).toBe(challenge);
        if (method !== "HEAD") expect(await response.json()).toMatchObject({ code: "token_missing" });
      }
    }
  });

  test("is told so by every address of the ingest's metrics port", async () => {
    for (const path of ["/metrics", "/", "/livez", "/api/webhooks/calendly"]) {
      for (const method of METHODS) {
        expect((await fetch(`${metricsFace}${path}`, { method })).status).toBe(401);
      }
    }
    const wrong = { authorization: "Bearer another" };
    expect((await fetch(`${metricsFace}/metrics`, { headers: wrong })).status).toBe(401);
    const right = { authorization: `Bearer ${METRICS_TOKEN}` };
    expect((await fetch(`${metricsFace}/metrics`, { headers: right })).status).toBe(200);
    expect((await fetch(`${metricsFace}/nothing`, { headers: right })).status).toBe(404);
  });

  test("learns whether the worker lives and is ready, in a word", async () => {
    expect(await (await fetch(`${face}/livez`)).json()).toEqual({ status: "alive" });
    expect(await (await fetch(`${face}/readyz`)).json()).toEqual({ status: "ready" });
  });
});

describe("a token", () => {
  test.each([
    [METRICS_TOKEN, "/metrics", 200],
    [METRICS_TOKEN, "/ops", 403],
    [METRICS_TOKEN, "/api/bookings", 403],
    [METRICS_TOKEN, "/api/docs", 403],
    [BILLING, "/api/bookings", 200],
    [BILLING, "/metrics", 403],
    [BILLING, "/ops", 403],
    [BILLING, "/ops/queues/", 403],
    [BILLING, "/ops/queues/api/queues", 403],
    [OPS, "/metrics", 200],
    [OPS, "/ops", 200],
    [OPS, "/ops/queues/", 200],
    [OPS, "/api/bookings", 200],
    [OPS, "/nothing", 404],
  ])("opens what it is for: %s at %s is answered %i", async (token, path, status) => {
    const bearer = await fetch(`${face}${path}`, { headers: { authorization: `Bearer ${token}` } });
    expect(bearer.status).toBe(status);
    expect((await fetch(`${face}${path}`, { headers: { authorization: basic(token) } })).status).toBe(status);
  });

  test("is compared in one place only, which takes the same time for every wrong one", () => {
    const sources = globSync("{apps,packages}/*/src/**/*.ts", { cwd: new URL("../../", import.meta.url).pathname });
    const texts = sources
      .filter((file) => !file.endsWith(".test.ts"))
      .map((file) => ({ file, text: readFileSync(new URL(`../../${file}`, import.meta.url), "utf8") }));
    expect(texts.filter(({ text }) => text.includes("timingSafeEqual")).map(({ file }) => file)).toEqual([
      "packages/core/src/calendly/secrets.ts",
    ]);
    const plain =
      /\b\w*(?:token|secret|password|signingKey|signature|digest|credential)\w*(?:\.value)?\s*[!=]==?\s*(?!undefined|null|"|'|-?\d)[\w.[\]"']+/gi;
    const found = texts.flatMap(({ file, text }) => [...text.matchAll(plain)].map(([match]) => `${file}: ${match}`));
    expect(found).toEqual([]);
    expect("if (given === config.OPS_API_TOKEN || OPS_API_TOKEN === given)").toMatch(plain);
  });

  test("that is wrong too often has its sender wait, and the right one too", async () => {
    const worker = await startStack(server.url, { OPS_API_TOKEN: OPS });
    const url = String((await worker.worker.untilLogged("listening"))["url"]);
    const status = async (token: string) =>
      (await fetch(`${url}/ops`, { headers: { authorization: basic(token) } })).status;
    try {
      for (let guess = 0; guess < 20; guess++) expect(await status(`guess-${guess}`)).toBe(401);
      expect(await status("another guess")).toBe(429);
      const right = await fetch(`${url}/ops`, { headers: { authorization: basic(OPS) } });
      expect([right.status, right.headers.get("retry-after")]).toEqual([429, "60"]);
      expect(await (await fetch(`${url}/livez`)).json()).toEqual({ status: "alive" });
    } finally {
      await worker.stop();
    }
  });
});

describe("the queue dashboard", () => {
  const board = (path: string, init: RequestInit = {}, authorization = `Bearer ${OPS}`) =>
    fetch(`${face}/ops/queues/api/queues${path}`, {
      ...init,
      headers: { authorization, "content-type": "application/json", ...init.headers },
    });

  test("shows jobs without what somebody has entered", async () => {
    const person = newInvitee();
    expect((await deliver(stack.ingest.webhookUrl, createdBody(person))).status).toBe(200);
    await stack.outcomes.untilThere([`${person.id}.confirmed`]);
    const shown = await until("its job is shown as completed", async () => {
      const text = await (await board("?activeQueue=deliveries&status=completed&page=1")).text();
      return text.includes(`invitee.created/${person.id}`) && text;
    });
    expect(shown).toContain("[redacted, ");
    expect(shown).not.toMatch(/Priya|acme-corp|212555|cancellations|join_url/);
    const [, jobId] = /"id":"([^"]+)"/.exec(shown.slice(shown.indexOf(person.id) - 2_000)) ?? [];
    expect(await (await board(`/deliveries/${jobId}`)).text()).not.toMatch(/Priya|acme-corp/);
  });

  test("does what is allowed, and writes down who did it", async () => {
    expect((await board("/deliveries/pause", { method: "PUT" }, basic(OPS, "ann"))).status).toBe(403);
    const sameOrigin = { "sec-fetch-site": "same-origin" };
    expect((await board("/deliveries/pause", { method: "PUT", headers: sameOrigin }, basic(OPS, "ann"))).status).toBe(
      200,
    );
    expect(await (await board("?activeQueue=deliveries")).json()).toMatchObject({
      queues: expect.arrayContaining([expect.objectContaining({ name: "deliveries", isPaused: true })]),
    });
    expect((await board("/deliveries/resume", { method: "PUT" })).status).toBe(200);
    const overview = await (await fetch(`${face}/ops`, { headers: { authorization: `Bearer ${OPS}` } })).text();
    expect(overview).toMatch(/ann<\/td><td>queues<\/td><td>deliveries\/pause/);
    expect(overview).toMatch(/ops<\/td><td>queues<\/td><td>deliveries\/resume/);
    expect(stack.worker.logs).toContainEqual(expect.objectContaining({ event: "dashboard_action", who: "ann" }));
  });

  test.each([["/deliveries/spent/retry"], ["/deliveries/retry/failed"]])(
    "gives a job that is tried again all its tries: %s",
    async (path) => {
      const { redis } = stack;
      const [job, queue] = ["{calendly:0}:deliveries:spent", "{calendly:0}:deliveries"];
      // One that can never work, and has failed as often as it may.
      const about = { name: "invitee.created", data: "{}", opts: "{}", timestamp: Date.now(), delay: 0, priority: 0 };
      await redis.hset(job, { ...about, atm: deliveries.attempts });
      await redis.zadd(`${queue}:failed`, Date.now(), "spent");
      expect((await board(path, { method: "PUT" })).ok).toBe(true);
      await until("it has failed again", () => redis.hget(job, "finishedOn"));
      expect(await redis.hget(job, "atm")).toBe("1");
      await redis.multi().zrem(`${queue}:failed`, "spent").del(job).exec();
    },
  );

  test.each([
    ["PUT", "/deliveries/obliterate"],
    ["PUT", "/deliveries/empty"],
    ["PUT", "/deliveries/clean/waiting"],
    ["PUT", "/deliveries/clean/failed"],
    ["PUT", "/deliveries/clean/completed"],
    ["PUT", "/pause"],
    ["POST", "/deliveries/add"],
    ["PATCH", "/deliveries/some-job/update-data"],
    ["PUT", "/deliveries/some-job/clean"],
    ["PUT", "/deliveries/concurrency"],
    ["DELETE", "/deliveries"],
  ])("never does what would lose or change a delivery: %s %s", async (method, path) => {
    const response = await board(path, { method, body: "{}" });
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([403, "not_allowed"]);
  });

  test.each([
    [{ "sec-fetch-site": "cross-site" }],
    [{ "sec-fetch-site": "same-site" }],
    [{ origin: "http://evil.example" }],
    [{}],
  ])("does nothing for a page of another site that a browser has lent its password: %j", async (headers) => {
    const response = await board("/deliveries/pause", { method: "PUT", headers }, basic(OPS));
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([403, "cross_site"]);
  });

  test("is read-only unless it is told otherwise", async () => {
    const other = await startStack(server.url, { OPS_API_TOKEN: OPS });
    const url = String((await other.worker.untilLogged("listening"))["url"]);
    try {
      const ask = createApiClient(url, OPS);
      expect(await ask("PUT", "/ops/queues/api/queues/deliveries/pause")).toMatchObject({ status: 403 });
      expect((await ask("GET", "/ops/queues/api/queues")).status).toBe(200);
    } finally {
      await other.stop();
    }
  });
});
