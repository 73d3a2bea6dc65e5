import { median } from "./stats.ts";

/** One line of the table: what was measured here, and against what in the same run. */
export interface Figure {
  readonly part: string;
  readonly what: string;
  readonly unit: string;
  readonly ours: Measured;
  readonly against?: { readonly name: string } & Measured;
  /** Ours by the other; of the medians. */
  readonly ratio?: number;
  /** The bound that is aimed at, for the ratio where there is one, else for the figure. */
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Of several rounds. */
export interface Measured {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function measured(values: readonly number[]): Measured {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

export function figure(
  about: Pick<Figure, "part" | "what" | "unit" | "atMost" | "atLeast">,
  ours: readonly number[],
  against?: { readonly name: string; readonly values: readonly number[] },
): Figure {
  if (against === undefined) return { ...about, ours: measured(ours) };
  const other = { name: against.name, ...measured(against.values) };
  const mine = measured(ours);
  return { ...about, ours: mine, against: other, ratio: mine.median / other.median };
}

/** Whether the bound is kept; undefined where there is none. */
export function isKept({ ours, ratio, atMost, atLeast }: Figure): boolean | undefined {
  if (atMost === undefined && atLeast === undefined) return undefined;
  const value = ratio ?? ours.median;
  return value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity);
}

export function inDigits(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function boundOf({ atMost, atLeast }: Figure): string {
  if (atMost !== undefined) return `≤ ${atMost.toLocaleString("en")}`;
  return atLeast === undefined ? "" : `≥ ${atLeast.toLocaleString("en")}`;
}
