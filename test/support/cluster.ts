import { disconnect } from "@calendly-worker/core/redis/connect";
import { Redis } from "ioredis";
import { connectRedis } from "./connect-redis.ts";
import {
  administratorOf,
  credentialsOf,
  FAIL_OVER_MS,
  freePort,
  type RedisOptions,
  type RedisServer,
  startRedisNode,
} from "./redis-node.ts";
import { until } from "./until.ts";

/** Three primaries with a third of the slots each, and a replica for each. */
export interface Cluster {
  /** As REDIS_URL. */
  readonly url: string;
  /** The primaries of the beginning: the first has the lowest slots. */
  readonly primaries: readonly RedisServer[];
  /** Theirs, in the same order. */
  readonly replicas: readonly RedisServer[];
  /** How long a primary may be away from now on before its replica takes over; a node that is restarted begins with it. */
  failOverAfter(ms: number): Promise<void>;
  /** Of the primary that has the key, as the first one's replica sees it. */
  primaryPort(key: string): Promise<number>;
  stop(): Promise<void>;
}

const PRIMARIES = 3;
const SLOTS = 16_384;
/** They get to know each other sooner while they are impatient. */
const FORMING_MS = 1_000;
const CALLED_LOCALHOST = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];

/** `failOverMs`: how long a primary may be away before its replica takes over. `host`: what its nodes call themselves. */
export async function startCluster(
  { settings = [], ...options }: RedisOptions = {},
  failOverMs = FAIL_OVER_MS,
  host: "127.0.0.1" | "localhost" = "127.0.0.1",
): Promise<Cluster> {
  const ports = await Promise.all(Array.from({ length: 2 * PRIMARIES }, freePort));
  const started = await Promise.allSettled(
    ports.map((bus) => {
      // Else the bus takes a port 10,000 higher, which an outgoing connection may have.
      const ofCluster = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        String(FORMING_MS),
        "--cluster-port",
        String(bus),
        ...(host === "localhost" ? CALLED_LOCALHOST : []),
      ];
      return startRedisNode({ ...options, settings: [...settings, ...ofCluster] });
    }),
  );
  const servers = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  const failed = started.find((one) => one.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  const { name: username, password } = administratorOf(options.user) ?? {};
  const isTls = options.certificate !== undefined;
  const asAdministrator = {
    host,
    ...(password !== undefined && { username, password }),
    ...(isTls && { tls: {} }),
  };
  const nodes = servers.map(({ port }) => new Redis({ ...asAdministrator, port }));
  async function ask<Answer>(port: number, question: (node: Redis) => Promise<Answer>): Promise<Answer> {
    const node = new Redis({ ...asAdministrator, port, lazyConnect: true, retryStrategy: () => null });
    // What is wrong is said by the promises as well.
    node.on("error", () => {});
    try {
      await node.connect();
      return await question(node);
    } finally {
      node.disconnect();
    }
  }
  try {
    const [first] = nodes;
    for (const [index, node] of nodes.slice(0, PRIMARIES).entries()) {
      const bound = (part: number) => Math.floor((part * SLOTS) / PRIMARIES);
      await node.cluster("ADDSLOTSRANGE", bound(index), bound(index + 1) - 1);
    }
    for (const [index, { port }] of servers.entries()) {
      if (index > 0) await first?.call("CLUSTER", "MEET", "127.0.0.1", port, String(ports[index]));
    }
    const isComplete = async (node: Redis) => /cluster_known_nodes:6/.test(String(await node.cluster("INFO")));
    for (const node of nodes) await until("the nodes know each other", () => isComplete(node), { deadlineMs: 30_000 });
    for (const [index, replica] of nodes.slice(PRIMARIES).entries()) {
      const id = String(await nodes[index]?.cluster("MYID"));
      // What it was told of the other nodes spreads within a second or two.
      await until(
        "the replica follows",
        () =>
          replica.cluster("REPLICATE", id).then(
            () => true,
            () => false,
          ),
        {
          deadlineMs: 20_000,
          everyMs: 100,
        },
      );
    }
    for (const node of nodes.slice(0, PRIMARIES)) {
      const hasReplica = async () => /slave0:.*state=online/.test(await node.info("replication"));
      await until("each primary has a replica", hasReplica, { deadlineMs: 20_000 });
      const isOk = async () => /cluster_state:ok/.test(String(await node.cluster("INFO")));
      await until("the cluster is well", isOk, { deadlineMs: 20_000 });
      // They say "?" of one whose name they have not heard yet.
      const knowsNames = async () => !JSON.stringify(await node.cluster("SLOTS")).includes('"?"');
      await until("the nodes know each other's names", knowsNames, { deadlineMs: 20_000 });
    }
    let patienceMs = failOverMs;
    const bePatient = async (node: Redis) => await node.config("SET", "cluster-node-timeout", String(patienceMs));
    await Promise.all(nodes.map(bePatient));
    const primaries = servers.slice(0, PRIMARIES).map((server) => ({
      ...server,
      async restart() {
        await server.restart();
        await ask(server.port, async (node) => {
          const isOk = async () => /cluster_state:ok/.test(String(await node.cluster("INFO")));
          // It waits a while for news before it takes writes.
          await until("the cluster is well again", isOk, { deadlineMs: 20_000 });
          // It has forgotten it.
          await bePatient(node);
        });
      },
    }));
    const url = `redis${isTls ? "s" : ""}-cluster://${credentialsOf(options.user)}${servers.map(({ port }) => `${host}:${port}`).join()}`;
    disconnect(await connectRedis(url));
    return {
      url,
      primaries,
      replicas: servers.slice(PRIMARIES),
      async failOverAfter(ms) {
        patienceMs = ms;
        // One that is away is told when it is back.
        for (const { port } of servers) await ask(port, bePatient).catch(() => {});
      },
      async primaryPort(key) {
        const [replica] = servers.slice(PRIMARIES) as [RedisServer];
        return await ask(replica.port, async (node) => {
          const slot = await node.cluster("KEYSLOT", key);
          const holding = (await node.cluster("SLOTS")).find(([from, to]) => from <= slot && slot <= to);
          return holding?.[2]?.[1] ?? 0;
        });
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    for (const node of nodes) node.disconnect();
  }
}
