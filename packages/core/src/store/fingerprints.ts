import { createHmac, randomBytes } from "node:crypto";
import type { Redis } from "../redis/connect.ts";
import { deploymentKey } from "../redis/keys.ts";

/** Names a secret without telling it: the same for every process on one Redis. */
export type Fingerprint = (secret: string) => string;

/** The key is random and made once: derived from a signing key, it would change with that, and all counts would be lost. */
export async function openFingerprints(redis: Redis): Promise<Fingerprint> {
  await redis.hsetnx(deploymentKey, "fingerprint_key", randomBytes(32).toString("hex"));
  const key = (await redis.hget(deploymentKey, "fingerprint_key")) ?? "";
  return (secret) => createHmac("sha256", key).update(secret).digest("hex").slice(0, 16);
}
