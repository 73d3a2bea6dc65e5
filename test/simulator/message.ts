import type { Happening } from "./account.ts";
import type { Subscription } from "./subscriptions.ts";

/** One happening on its way to one subscription. */
export interface Message {
  readonly subscription: Subscription;
  readonly happening: Happening;
  readonly body: string;
  /** Waits that long on the simulator's schedule before the first try. */
  readonly delayMs: number;
  phase: "held back" | "on its way" | "waiting for a retry";
  attempts: number;
  /** The signature's time of the first try, unix seconds. */
  firstT?: number;
  /** On the simulator's schedule. */
  firstFailedAt?: number;
}

/** URI of what the payload is about. */
export function aboutOf({ payload }: Happening): string {
  return String(payload["uri"] ?? "");
}

export function inWords({ happening, phase, attempts }: Message): string {
  const id = aboutOf(happening).split("/").at(-1);
  return `${happening.event} of ${id} ${phase}${attempts > 0 ? `, tries: ${attempts}` : ""}`;
}
