import type { Logger } from "../telemetry/logger.ts";

export interface Lifecycle {
  /** Aborts when closing begins: whatever waits should stop waiting. */
  readonly signal: AbortSignal;
  /** Registers how to close `resource` and hands it back. */
  own<Resource>(part: string, resource: Resource, close: (resource: Resource) => unknown): Resource;
  /** Closes everything, newest first; every step is tried. Safe to call twice. Rejects when a step failed. */
  close(reason: string): Promise<void>;
}

export function createLifecycle(log: Logger): Lifecycle {
  const closers: { part: string; close: () => unknown }[] = [];
  const controller = new AbortController();
  let closing: Promise<void> | undefined;

  async function closeAll(reason: string) {
    log.info({ reason }, "stopping");
    controller.abort();
    const errors: unknown[] = [];
    for (const { part, close } of closers.toReversed()) {
      try {
        await close();
        log.debug({ part }, "closed");
      } catch (err) {
        errors.push(err);
        log.error({ err, part }, "close failed");
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, "some parts did not close cleanly");
    log.info({}, "stopped");
  }

  return {
    signal: controller.signal,
    own(part, resource, close) {
      closers.push({ part, close: () => close(resource) });
      return resource;
    },
    close: (reason) => {
      closing ??= closeAll(reason);
      return closing;
    },
  };
}
