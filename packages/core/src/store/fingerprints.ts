import { createHmac, randomBytes } from "node:crypto";
import type { Redis } from "../redis/connect.ts";
import { deploymentKey } from "../redis/keys.ts";

/** Names a secret without telling it: the same for every process on one Redis. */
export type Fingerprint = (secret: string) => string;

/** The fingerprints of a process that lives for long. */
export interface Fingerprints {
  /** To be asked each time and not kept: another after Redis was emptied, where somebody else came first. */
  readonly of: Fingerprint;
  /**
   * Takes on the key that stands in Redis. Where none does, this process' own is written down: after Redis was emptied
   * all goes on under the same names, unless a process that came new was first.
   */
  agree(): Promise<void>;
}

/** The key is random and made once: derived from a signing key, it would change with that, and all counts would be lost. */
export function createFingerprints(redis: Redis): Fingerprints {
  let key = randomBytes(32).toString("hex");
  return {
    of: (secret) => createHmac("sha256", key).update(secret).digest("hex").slice(0, 16),
    async agree() {
      const standing = () => redis.hget(deploymentKey, "fingerprint_key");
      const known = await standing();
      // Written only where nothing stands: what only reads must work too where Redis takes no writes.
      if (known === null) await redis.hsetnx(deploymentKey, "fingerprint_key", key);
      key = known ?? (await standing()) ?? key;
    },
  };
}

/** For a process that ends before Redis could be emptied under it. */
export async function openFingerprints(redis: Redis): Promise<Fingerprint> {
  const fingerprints = createFingerprints(redis);
  await fingerprints.agree();
  return fingerprints.of;
}
