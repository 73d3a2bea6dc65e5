import { disconnect } from "@calendly-worker/core/redis/connect";
import { createShards } from "@calendly-worker/core/redis/keys";
import { primaryOf } from "@calendly-worker/core/redis/nodes";
import { startCertified } from "./certificate.ts";
import { startCluster } from "./cluster.ts";
import { connectRedis } from "./connect-redis.ts";
import { type RedisOptions, type RedisServer, startRedisNode } from "./redis-node.ts";
import { startSentinels } from "./sentinels.ts";
import { topology } from "./topology.ts";

export { freePort, type RedisOptions, type RedisServer } from "./redis-node.ts";

/**
 * A Redis of the topology that TEST_REDIS_TOPOLOGY names: one server, or one that `url` reaches through Sentinels, in a
 * cluster, or by TLS. What is done to it is done to the primary, in a cluster to that of the only shard.
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  switch (topology) {
    case "single":
      return await startRedisNode(options);
    case "tls":
      return await startCertified(options);
    case "sentinel": {
      const primary = await startRedisNode(options);
      const sentinels = await startSentinels(primary, options);
      const stop = async () => {
        await sentinels.stop();
        await primary.stop();
      };
      return { ...primary, url: sentinels.url, stop };
    }
    case "cluster": {
      const cluster = await startCluster(options);
      const redis = await connectRedis(cluster.url);
      const { port } = primaryOf(redis, createShards(1).first.tag)?.options ?? {};
      disconnect(redis);
      const primary = cluster.primaries.find((one) => one.port === port);
      if (primary === undefined) throw new Error("no primary of the cluster has the shard");
      return { ...primary, url: cluster.url, stop: cluster.stop };
    }
  }
}
