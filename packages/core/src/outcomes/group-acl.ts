import { deploymentKey, outcomeGroupPrefix, outcomeStreamKey, outcomesTrimmedKey, type Shards } from "../redis/keys.ts";

/** What the library asks of Redis about the outcomes and the group's own keys. */
const COMMANDS = [
  // Which node of a cluster has which key.
  ...["cluster|slots", "cluster|info"],
  ...["ping", "info", "hello", "auth", "client|setname", "eval", "evalsha", "multi", "exec", "time"],
  ...["get", "hget", "hgetall", "hincrby", "hdel", "zadd", "zrem", "zcard", "zremrangebyscore"],
  ...["xack", "xautoclaim", "xgroup|create", "xgroup|setid", "xinfo|groups", "xpending"],
  ...["xrange", "xread", "xreadgroup", "xrevrange"],
];

/** What it writes beside: on the group's own keys alone, so that nobody can add an outcome or take one away. */
const OWN_COMMANDS = ["set", "del", "xadd", "eval", "evalsha"];

/**
 * The line of Redis' ACL for the consumers of a group: the outcomes, the group's own keys, how many shards there are, and
 * nothing else. Redis cannot keep the groups of one stream apart: a consumer could acknowledge for another group.
 */
export function groupAcl(group: string, shards: Shards): string {
  const own = shards.all.map((shard) => `~${outcomeGroupPrefix(shard, group)}*`);
  const allowed = (commands: readonly string[]) => commands.map((command) => `+${command}`);
  return [
    `ACL SETUSER ${group} on >PASSWORD resetkeys resetchannels -@all`,
    ...shards.all.flatMap((shard) => [`~${outcomeStreamKey(shard)}`, `~${outcomesTrimmedKey(shard)}`]),
    ...own,
    `%R~${deploymentKey}`,
    ...allowed(COMMANDS),
    `(${[...allowed(OWN_COMMANDS), ...own].join(" ")})`,
  ].join(" ");
}
