/** Something that stands between a mistake and a booking, how to take it away, and the test that must then be red. */
export interface Safeguard {
  readonly name: string;
  readonly file: string;
  /** Stands in the file once. */
  readonly code: string;
  readonly without: string;
  readonly test: { readonly file: string; readonly name: string };
}

const CORE = "packages/core/src";

export const SAFEGUARDS: readonly Safeguard[] = [
  {
    name: "signature check",
    file: `${CORE}/calendly/signature.ts`,
    code: "const key = keys.find((candidate) => matches(candidate.key, signature, body));",
    without: "const key = keys.find((candidate) => matches(candidate.key, signature, body)) ?? keys[0];",
    test: { file: "test/e2e/ingest.answers.test.ts", name: "a delivery that is not genuine" },
  },
  {
    name: "window of the signature's time",
    file: `${CORE}/calendly/signature.ts`,
    code: "if (Math.abs(ageSeconds) <= windowSeconds)",
    without: "if (Math.abs(ageSeconds) <= windowSeconds || windowSeconds > 0)",
    test: { file: "test/e2e/ingest.answers.test.ts", name: "a genuine delivery that comes late" },
  },
  {
    name: "200 only after Redis has taken it",
    file: `${CORE}/queues/producer.ts`,
    code: "return await withinDeadline(deadlineMs, added);",
    without: 'added.catch(() => {}); void [deadlineMs, withinDeadline]; return "new";',
    test: { file: "test/e2e/redis.outage.test.ts", name: "frozen: many deliveries at once" },
  },
  {
    name: "200 only after the replicas have it, where that is asked for",
    file: `${CORE}/redis/replication.ts`,
    code: "if (reached >= replicas) return;",
    without: "if (reached >= 0) return;",
    test: { file: "test/e2e/replication.test.ts", name: "what the replica has not got" },
  },
  {
    name: "no other primary's replicas speak for it",
    file: `${CORE}/redis/replication.ts`,
    code: "after.primary === before?.primary && after.losses === before.losses) return;",
    without: "(after.primary === before?.primary || after.losses === before?.losses)) return;",
    test: { file: "test/e2e/replication.test.ts", name: "what only a primary that was replaced has" },
  },
  {
    name: "a job is done only after the replicas of other primaries have it",
    file: "apps/worker/src/trail.ts",
    code: "await untilReplicated(trail.shards, ",
    without: "await untilReplicated([], ",
    test: { file: "test/e2e/replication.cluster.test.ts", name: "is folded into it again" },
  },
  {
    name: "room for a delivery among thousands of connections",
    file: `${CORE}/lifecycle/http-server.ts`,
    code: "if (sockets.size > most) giveUpOldest();",
    without: "if (sockets.size > most * 9) giveUpOldest();",
    test: { file: "test/e2e/ingest.connections.test.ts", name: "whoever holds thousands of connections" },
  },
  {
    name: "bodies that do not end are given up",
    file: "apps/ingest/src/read-body.ts",
    code: "if (heldBytes > MOST_UNFINISHED_BYTES) makeRoom();",
    without: "if (heldBytes > MOST_UNFINISHED_BYTES * 99) makeRoom();",
    test: { file: "test/e2e/ingest.connections.test.ts", name: "whoever sends hundreds of large bodies" },
  },
  {
    name: "deduplication",
    file: `${CORE}/store/scripts/add-job.lua`,
    code: "if not redis.call('SET', deduplication, id, 'NX', 'PX', remembered_ms) then",
    without: "if not redis.call('SET', deduplication, id, 'PX', remembered_ms) then",
    test: { file: "test/e2e/ingest.answers.test.ts", name: "is accepted once, and a duplicate ever after" },
  },
  {
    name: "the booking knows its facts",
    file: `${CORE}/bookings/outcomes.ts`,
    code: "return canonicalLog(booking).filter(({ id }) => !booking.published.includes(id));",
    without: "return canonicalLog(booking);",
    test: { file: "test/e2e/worker.folding.test.ts", name: "a fact that is counted already" },
  },
  {
    name: "version check in the commit",
    file: `${CORE}/store/scripts/commit-booking.lua`,
    code: "if (redis.call('HGET', booking, 'version') or '0') ~= expected_version then",
    without: "if false then",
    test: { file: "test/e2e/worker.folding.test.ts", name: "several workers racing for the same bookings" },
  },
  {
    name: "fencing of a host's time by the booking's version",
    file: `${CORE}/store/scripts/take-host-time.lua`,
    code: "if known and before.version > tonumber(version) then",
    without: "if false then",
    test: { file: "test/e2e/worker.conflicts.test.ts", name: "takes nothing when it comes late" },
  },
  {
    name: "taking over from a worker that went silent",
    file: `${CORE}/queues/consumer.ts`,
    code: "stalledInterval: ports.stalledCheckMs,",
    without: "stalledInterval: ports.stalledCheckMs, skipStalledCheck: true,",
    test: { file: "test/e2e/worker.crash.test.ts", name: "before its commit reached Redis" },
  },
  {
    name: "a booking of whoever was erased stays erased",
    file: `${CORE}/store/bookings.ts`,
    code: "return at === null ? undefined : Number(at);",
    without: "return at === '' ? Number(at) : undefined;",
    test: { file: "test/e2e/erasing.test.ts", name: "a person is erased from everything that is kept" },
  },
  {
    name: "append-only file check",
    file: `${CORE}/redis/safety.ts`,
    code: 'if (facts.get("aof_enabled") !== "1") {',
    without: 'if (facts.get("aof_enabled") === "never") {',
    test: { file: "test/e2e/redis.outage.test.ts", name: "is refused with what is wrong" },
  },
  {
    name: "eviction check",
    file: `${CORE}/redis/safety.ts`,
    code: 'if (policy !== "noeviction") {',
    without: 'if (policy === "never") {',
    test: { file: "test/e2e/redis.outage.test.ts", name: "is refused with what is wrong" },
  },
  {
    name: "token on the internal face",
    file: "apps/worker/src/access.ts",
    code: 'return isMetrics ? { name: "metrics", may: "metrics" } : undefined;',
    without: 'return { name: "metrics", may: isMetrics ? "metrics" : "all" };',
    test: { file: "test/e2e/ops.access.test.ts", name: "that is wrong too often" },
  },
];
