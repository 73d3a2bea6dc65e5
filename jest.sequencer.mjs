import Sequencer from "@jest/test-sequencer";

/**
 * What takes minutes begins first, in this order, so that nobody waits for it in the end. Of two that run side by side one
 * keeps the processors busy and the other one mostly waits.
 */
const FIRST = [
  // Beside the first one, until it ends, run those that wait most.
  "test/chaos/matrix.test.ts",
  "test/e2e/alerts.test.ts",
  "test/e2e/sse.test.ts",
  "test/e2e/push.test.ts",
  "test/e2e/ingest.connections.test.ts",
  "test/chaos/soak.test.ts",
  "test/e2e/dark-time.test.ts",
  "test/e2e/reconciliation.test.ts",
  "test/e2e/redis.topologies.test.ts",
  "test/e2e/rotation.test.ts",
  "test/e2e/redis.outage.test.ts",
  "test/e2e/calendly.fleet.test.ts",
  "test/e2e/doctor.test.ts",
  "test/bench/bench.test.ts",
  "test/e2e/ops.pages.test.ts",
  "test/e2e/deployment-guide.test.ts",
  "test/e2e/replication.cluster.test.ts",
  "test/e2e/worker.kill-points.test.ts",
  "test/e2e/liveness.test.ts",
];

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const isOf = (file) => (test) => test.path.endsWith(`/${file}`);
    const first = FIRST.flatMap((file) => tests.filter(isOf(file)));
    return [...first, ...super.sort(tests.filter((test) => !first.includes(test)))];
  }
}
