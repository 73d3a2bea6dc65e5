import { deploymentKey, outcomeGroupPrefix, outcomeStreamKey, outcomesTrimmedKey, type Shards } from "../redis/keys.ts";

/** What a consumer of the library asks of Redis, and nothing else. */
const COMMANDS = [
  "ping",
  "info",
  "hello",
  "auth",
  "client|setname",
  "eval",
  "evalsha",
  "multi",
  "exec",
  "time",
  "get",
  "set",
  "del",
  "hget",
  "hgetall",
  "hincrby",
  "hdel",
  "zadd",
  "zrem",
  "zcard",
  "zremrangebyscore",
  "xadd",
  "xack",
  "xautoclaim",
  "xgroup|create",
  "xgroup|setid",
  "xinfo|groups",
  "xpending",
  "xrange",
  "xread",
  "xreadgroup",
  "xrevrange",
];

/**
 * The line of Redis' ACL that lets the consumers of a group at the outcomes and at their own keys. It cannot keep them
 * from adding to the stream of outcomes: a rule of Redis names commands and keys apart from each other; so adding is
 * let through for the group's own dead letters by a selector.
 */
export function groupAcl(group: string, shards: Shards): string {
  const streams = shards.all.flatMap((shard) => [`~${outcomeStreamKey(shard)}`]);
  const read = [`%R~${deploymentKey}`, ...shards.all.map((shard) => `%R~${outcomesTrimmedKey(shard)}`)];
  const own = shards.all.map((shard) => `~${outcomeGroupPrefix(shard, group)}*`);
  const shared = COMMANDS.filter((command) => !["xadd", "set", "del"].includes(command)).map(
    (command) => `+${command}`,
  );
  const writing = ["+xadd", "+set", "+del", "+eval", "+evalsha"].join(" ");
  return [
    `ACL SETUSER ${group} on >PASSWORD resetchannels -@all`,
    ...streams,
    ...read,
    ...own,
    ...shared,
    `(${writing} ${own.join(" ")})`,
  ].join(" ");
}
