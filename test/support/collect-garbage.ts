// Preloaded, with --expose-gc, into an app whose heap is looked at. What a collection leaves is what the app holds; how
// much there is at any other moment says when V8 saw fit to collect.

const EVERY_MS = 15_000;

/** The message of the line that it logs. */
export const COLLECTED = "garbage collected";

function collect(): void {
  globalThis.gc?.();
  const heapMb = process.memoryUsage().heapUsed / 2 ** 20;
  process.stdout.write(`${JSON.stringify({ level: "info", msg: COLLECTED, heapMb })}\n`);
}

if (process.execArgv.includes("--expose-gc")) setInterval(collect, EVERY_MS).unref();
