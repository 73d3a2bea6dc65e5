import { createHash, timingSafeEqual } from "node:crypto";

/** Whether two secrets are equal, in a time that says nothing of where they differ, nor of their lengths. */
export function isSameSecret(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
