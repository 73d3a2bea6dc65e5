import { RefusalError } from "../config/refusal.ts";

/** The bootstrap makes do with an older one, and brings this one along. */
const OLDEST_NODE = 24;

/** Throws a RefusalError where the apps cannot run: an older Node lacks what they are made of, and says so in riddles. */
export function requireNode(version: string = process.versions.node): void {
  if (Number.parseInt(version, 10) >= OLDEST_NODE) return;
  throw new RefusalError(
    "node_too_old",
    `Node ${OLDEST_NODE} or newer is needed, this is ${version}. The workspace has one: pnpm start, or node_modules/.bin/node.`,
  );
}
