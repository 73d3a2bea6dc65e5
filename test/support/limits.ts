import { test } from "@jest/globals";
import { type Topology, topology } from "./topology.ts";

/** All that keeps a test from a topology. Whoever is kept is skipped by name, with this reason. */
const LIMITS = {
  "several databases": { not: ["cluster"], reason: "a cluster has one database" },
  "a proxy": {
    not: ["sentinel", "cluster", "tls"],
    reason: "a proxy stands before the port of one server, without TLS",
  },
  REPLICAOF: { not: ["cluster"], reason: "a cluster knows no REPLICAOF" },
} as const satisfies Record<string, { readonly not: readonly Topology[]; readonly reason: string }>;

export type Limit = keyof typeof LIMITS;

const isKept = (limit: Limit) => (LIMITS[limit].not as readonly Topology[]).includes(topology);
const titled = (limit: Limit, name: string) => `${name} (not on ${topology}: ${LIMITS[limit].reason})`;

/** A test that is skipped, by name, where its limit keeps it from the topology. */
export function testWhere(limit: Limit, name: string, body: () => Promise<void>, timeoutMs?: number): void {
  if (isKept(limit)) test.skip(titled(limit, name), body);
  else test(name, body, timeoutMs);
}
