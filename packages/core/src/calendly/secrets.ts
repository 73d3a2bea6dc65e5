import { createHash, timingSafeEqual } from "node:crypto";

/** Whether two digests are equal, in a time that says nothing of where they differ. The one comparison of what is secret. */
export function isSameDigest(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** Whether two secrets are equal, in a time that says nothing of where they differ, nor of their lengths. */
export function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return isSameDigest(digest(given), digest(expected));
}
