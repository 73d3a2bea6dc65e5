import type { z } from "zod";

/** Everything a producer and a consumer must agree on, and nothing else. */
export interface QueueContract<Data extends z.ZodType = z.ZodType> {
  readonly name: string;
  /** What metrics call it, where it is one of many alike. */
  readonly family?: string;
  readonly data: Data;
  /** What a job stands for: two jobs with one identity are one. */
  readonly identity: (data: z.output<Data>) => string;
  /** Tries before a job is given up and kept as failed. */
  readonly attempts: number;
  /** The delay before a try doubles from the first to the longest, each shortened by a random part of up to `jitter`. */
  readonly retry: { readonly firstDelayMs: number; readonly longestDelayMs: number; readonly jitter: number };
  /**
   * How long finished jobs can be looked at, in seconds, and how many at most. BullMQ drops more than that when another
   * one ends in the same way, and a maintenance task what is older, once an hour.
   */
  readonly keepCompleted: { readonly age: number; readonly count: number };
  readonly keepFailed: { readonly age: number; readonly count?: number };
}

export type DataOf<Contract> = Contract extends QueueContract<infer Data> ? z.output<Data> : never;

export function defineQueue<Data extends z.ZodType>(contract: QueueContract<Data>): QueueContract<Data> {
  return contract;
}
