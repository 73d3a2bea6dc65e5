import { fork } from "node:child_process";
import { once } from "node:events";
import { pin } from "./machine.ts";

/** Deliveries that are sent to a server by a process of its own. All are made and signed before the first is sent. */
export interface LoadOptions {
  readonly url: string;
  readonly count: number;
  readonly connections: number;
  /**
   * So many are begun a second, whether those before are answered or not, and the time that one waits for a free connection
   * counts. Without it each connection sends its next one when it has its answer.
   */
  readonly perSecond?: number;
  readonly key: string;
  /** Shares, from 0 to 1. */
  readonly duplicates?: number;
  readonly forged?: number;
  /** About so long, where that is longer than a plain one. */
  readonly bodyBytes?: number;
}

export interface LoadResult {
  readonly seconds: number;
  /** How many were answered with each status. */
  readonly answers: Readonly<Record<string, number>>;
  /** Different facts among those with a valid signature. */
  readonly facts: number;
  /** How long an answer took, in ms. */
  readonly ms: { readonly p50: number; readonly p99: number; readonly p999: number };
}

const PROCESS = new URL("./load-process.ts", import.meta.url).pathname;

/** `core`: where the process that sends is kept. `onStart` is called when the first one is about to be sent. */
export async function sendLoad(options: LoadOptions, core: number, onStart = () => {}): Promise<LoadResult> {
  const child = fork(PROCESS, [JSON.stringify(options)], { execArgv: ["--disable-warning=ExperimentalWarning"] });
  pin(child.pid ?? 0, core);
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the load ended with exit code ${code} before its result`);
  });
  ended.catch(() => {});
  const next = async () => ((await Promise.race([once(child, "message"), ended])) as unknown[])[0];
  await next();
  onStart();
  child.send("go");
  const result = (await next()) as LoadResult;
  child.disconnect();
  await ended.catch(() => {});
  return result;
}
