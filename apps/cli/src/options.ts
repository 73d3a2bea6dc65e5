import { InvalidArgumentError } from "commander";

/** A time as it is given on the command line, in UTC. */
export function timeOf(text: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new InvalidArgumentError("expected a time such as 2026-11-23T14:00:00Z.");
  return new Date(ms).toISOString();
}

export function wholeOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError("expected a whole number, 0 or more.");
  }
  return value;
}

/** Reads a whole number within limits. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = wholeOf(text);
    if (value < least || value > most) {
      throw new InvalidArgumentError(`expected a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
