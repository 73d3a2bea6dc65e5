import { userInfo } from "node:os";

/** Who runs a command, for what is written down. A container may run as somebody who has no name. */
export function whoRunsThis(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}
