import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Redis } from "../redis/connect.ts";
import { instancesKey } from "../redis/keys.ts";
import { defineScript } from "./define-script.ts";

/** A process that lives, and what it says of itself. */
export interface Instance {
  readonly app: "ingest" | "worker";
  /** Host name and a random part. */
  readonly id: string;
  /** Fingerprints of the signing keys that it accepts; none of a worker. */
  readonly signingKeys: readonly string[];
}

/** How often a process says that it lives, and after which silence it counts as gone, in ms. */
export const ANNOUNCE_EVERY_MS = 5_000;
const LIVE_MS = 20_000;

const announceInstance = defineScript({
  name: "announce-instance",
  keys: ["instances"],
  args: ["name", "facts", "live_ms"],
  reply: () => undefined,
});

const listInstances = defineScript({
  name: "list-instances",
  keys: ["instances"],
  args: ["live_ms"],
  reply: (raw) => raw as string[],
});

export function newInstance(app: Instance["app"]): Instance {
  return { app, id: `${hostname()}-${randomUUID().slice(0, 8)}`, signingKeys: [] };
}

export async function announce(redis: Redis, { app, id, signingKeys }: Instance): Promise<void> {
  const facts = JSON.stringify({ signingKeys });
  await announceInstance(redis, { instances: instancesKey }, { name: `${app}/${id}`, facts, live_ms: LIVE_MS });
}

/** Says that a process ends. */
export async function leave(redis: Redis, { app, id }: Instance): Promise<void> {
  await announceInstance(redis, { instances: instancesKey }, { name: `${app}/${id}`, facts: "", live_ms: LIVE_MS });
}

export async function liveInstances(redis: Redis, app: Instance["app"]): Promise<Instance[]> {
  const reply = await listInstances(redis, { instances: instancesKey }, { live_ms: LIVE_MS });
  const instances: Instance[] = [];
  for (let i = 0; i < reply.length; i += 2) {
    const [name = "", facts = "{}"] = reply.slice(i, i + 2);
    if (name.startsWith(`${app}/`)) instances.push({ app, id: name.slice(app.length + 1), ...JSON.parse(facts) });
  }
  return instances;
}
