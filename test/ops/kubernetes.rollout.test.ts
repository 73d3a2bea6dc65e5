import { createServer, request, type Server } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { deliveries } from "@calendly-worker/core/queues/contracts";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createdBody, newInvitee } from "../support/bookings.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver } from "../support/deliveries.ts";
import { jobCount } from "../support/job-count.ts";
import { listenOnLoopback } from "../support/listen.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, startIngest, WEBHOOK_PATH } from "../support/stack.ts";
import { describeWith } from "../support/tools.ts";
import { until } from "../support/until.ts";
import { BUILDS, type Workload, workloads } from "./kubernetes-builds.ts";

/** So many times faster than in a cluster. */
const FASTER = 10;
/** How long after a pod was told to go the last proxy has heard of it, in a cluster that is busy. */
const HEARD_OF_AFTER_S = 5;
const EVERY_MS = 20;

/** What leads requests to the pods, one by one in turn, each over a connection of its own, as an ingress controller does. */
function createFront(endpoints: readonly string[]): Server {
  let turn = 0;
  return createServer((req, res) => {
    turn += 1;
    const to = new URL(req.url ?? "/", endpoints[turn % endpoints.length]);
    const forwarded = request(to, { method: req.method, headers: req.headers, agent: false }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, { "content-type": "application/json" });
      answer.pipe(res);
    });
    forwarded.on("error", () => res.headersSent || res.writeHead(502).end("{}"));
    req.pipe(forwarded);
  });
}

describeWith("kubectl", "a rolling update of the ingest", () => {
  let redis: RedisServer;
  let client: Redis;
  let ingest: Workload | undefined;
  beforeAll(async () => {
    ingest = workloads(BUILDS["production"]?.() ?? []).find(({ app }) => app === "ingest");
    redis = await startRedis();
    client = await connectRedis(redis.url);
  });
  afterAll(async () => {
    disconnect(client);
    await redis.stop();
  });

  /** Replaces two pods one after the other as the Deployment's strategy says, under load. Gives the answers, by status. */
  async function rollOut(preStopSeconds: number): Promise<Record<number, number>> {
    const readiness = ingest?.container["readinessProbe"].httpGet.path;
    const startPod = async () => {
      const pod = await startIngest(redis.url);
      await until("the pod is ready", async () => (await fetch(`${pod.baseUrl}${readiness}`)).status === 200);
      return pod;
    };
    const old = [await startPod(), await startPod()];
    const pods: Ingest[] = [...old];
    const endpoints = old.map(({ baseUrl }) => baseUrl);
    const front = createFront(endpoints);
    const url = `${await listenOnLoopback(front)}${WEBHOOK_PATH}`;
    const answers: Promise<number>[] = [];
    const load = setInterval(() => {
      answers.push(deliver(url, createdBody(newInvitee())).then(({ status }) => status));
    }, EVERY_MS);
    try {
      for (const pod of old) {
        const next = await startPod();
        pods.push(next);
        endpoints.push(next.baseUrl);
        const heardOf = pause((HEARD_OF_AFTER_S * 1_000) / FASTER).then(() => {
          endpoints.splice(endpoints.indexOf(pod.baseUrl), 1);
        });
        await pause((preStopSeconds * 1_000) / FASTER);
        await pod.end("SIGTERM");
        expect((await pod.exited).code).toBe(0);
        await heardOf;
      }
    } finally {
      clearInterval(load);
      await Promise.allSettled(answers);
      await Promise.all(pods.map((pod) => pod.end()));
      front.close();
    }
    const byStatus = Map.groupBy(await Promise.all(answers), (status) => status);
    return Object.fromEntries([...byStatus].map(([status, all]) => [status, all.length]));
  }

  test("refuses no delivery, and loses none", async () => {
    const answers = await rollOut(ingest?.container["lifecycle"].preStop.sleep.seconds);
    expect(Object.keys(answers)).toEqual(["200"]);
    expect(answers[200]).toBeGreaterThan(100);
    expect(await jobCount(client, createShards(1).first, deliveries.name)).toBe(answers[200]);
  });

  test("would refuse some if a pod stopped before all others have heard of it", async () => {
    const { 200: taken = 0, 502: refused = 0 } = await rollOut(0);
    expect(taken).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  });
});
