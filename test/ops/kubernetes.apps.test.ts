import { APPS } from "@calendly-worker/core/config/variable";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type AppProcess, startApp, type Variables } from "../support/app-process.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { describeWith } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { BUILDS, type Manifests, type Workload, workloads } from "./kubernetes-builds.ts";
import { environmentOf } from "./kubernetes-environment.ts";

/** As in a container whose file system is read-only: whatever an app would write, or start beside itself, is refused. */
const READ_ONLY = ["--permission", "--allow-fs-read=*"];

/** Nothing is asked of Calendly, and the ports are free ones. */
const HERE = {
  INGEST_PORT: "0",
  INGEST_METRICS_PORT: "0",
  WORKER_PORT: "0",
  CALENDLY_API_BASE_URL: "http://127.0.0.1:9",
  CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "0",
  CALENDLY_RECONCILE_NEAR_INTERVAL: "0",
  CALENDLY_RECONCILE_FAR_INTERVAL: "0",
  CALENDLY_RECONCILE_PAST_INTERVAL: "0",
};

const statusOf = async (url: string, token?: string) =>
  (await fetch(url, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })).status;

describeWith("kubectl", "the apps as Kubernetes starts them", () => {
  let manifests: Manifests;
  let redis: RedisServer;
  beforeAll(async () => {
    manifests = BUILDS["production"]?.() ?? [];
    redis = await startRedis();
  });
  afterAll(async () => await redis.stop());

  async function start(name: Workload["app"]) {
    const workload = workloads(manifests).find(({ app }) => app === name);
    if (workload === undefined) throw new Error(`there is no ${name}`);
    const environment: Variables = { ...environmentOf(manifests, workload, "all"), REDIS_URL: redis.url, ...HERE };
    const app = startApp(workload.app, environment, READ_ONLY);
    const { url } = await app.untilLogged("listening");
    const baseUrl = String(url);
    const probed = (probe: string) => statusOf(`${baseUrl}${workload.container[probe].httpGet.path}`);
    return { app, environment, baseUrl, probed };
  }

  test.each(APPS)("the %s answers its probes, and tells its metrics, without writing a file", async (name) => {
    const { app, environment, baseUrl, probed } = await start(name);
    try {
      await until("it is ready", async () => (await probed("readinessProbe")) === 200);
      expect(await probed("startupProbe")).toBe(200);
      expect(await probed("livenessProbe")).toBe(200);
      // Somewhere else there is nothing, so an answer of 200 says that the address is right.
      expect(await statusOf(`${baseUrl}/healthz`)).not.toBe(200);
      expect(await statusOf(`${metricsUrl(app, baseUrl)}/metrics`, environment["METRICS_TOKEN"])).toBe(200);
    } finally {
      await app.end();
    }
    expect((await app.exited).code).toBe(0);
  });

  test.each(APPS)("the %s is not restarted for a Redis that is away, but gets no requests", async (name) => {
    const { app, probed } = await start(name);
    try {
      await until("it is ready", async () => (await probed("readinessProbe")) === 200);
      await redis.kill();
      await until("it is not ready", async () => (await probed("readinessProbe")) === 503);
      expect(await probed("livenessProbe")).toBe(200);
      await redis.restart();
      await until("it is ready again", async () => (await probed("readinessProbe")) === 200);
    } finally {
      await app.end();
    }
  });
});

function metricsUrl(app: AppProcess, baseUrl: string): string {
  return String(app.logs.find(({ msg }) => msg === "telling metrics")?.["url"] ?? baseUrl);
}
