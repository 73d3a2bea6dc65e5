const TOPOLOGIES = ["single", "sentinel", "cluster", "tls"] as const;
export type Topology = (typeof TOPOLOGIES)[number];

/** What `startRedis` gives. */
export const topology: Topology = readTopology(process.env["TEST_REDIS_TOPOLOGY"] || "single");

function readTopology(name: string): Topology {
  const known = TOPOLOGIES.find((one) => one === name);
  if (known === undefined) throw new Error(`TEST_REDIS_TOPOLOGY is one of ${TOPOLOGIES.join(", ")}, not ${name}`);
  return known;
}
