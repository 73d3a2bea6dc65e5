/** Where somebody is in the outcomes: the id of the last one read in each shard's stream, `0-0` for none. */
export type Position = readonly string[];

/** What was given as a cursor is none of ours. */
export class CursorInvalidError extends Error {
  override readonly name = "CursorInvalidError";
  readonly code = "cursor_invalid";
}

/** Outcomes that come after a position were dropped by age: whoever goes on from there has missed something. */
export class CursorExpiredError extends Error {
  override readonly name = "CursorExpiredError";
  readonly code = "cursor_expired";
  readonly shard: number;
  /** The oldest one that is left, or the newest one dropped where none is. */
  readonly oldest: string;

  constructor(shard: number, position: string, oldest: string) {
    super(
      `Outcomes that come after ${position} in shard ${shard} are kept no longer; the oldest id left is ${oldest}. Read what they would have said from the bookings, and go on from there.`,
    );
    this.shard = shard;
    this.oldest = oldest;
  }
}

const STREAM_ID = /^\d{1,20}-\d{1,20}$/;

/** Opaque to whoever keeps it: read on after it. */
export function toCursor(position: Position): string {
  return Buffer.from(JSON.stringify({ v: 1, at: position })).toString("base64url");
}

/** Throws a CursorInvalidError for anything that `toCursor` has not made for as many shards. */
export function parseCursor(cursor: string, shards: number): Position {
  const at = read(cursor);
  if (at === undefined) throw new CursorInvalidError("expected a cursor as it was given with an outcome");
  if (at.length !== shards) {
    throw new CursorInvalidError(`expected a cursor for ${shards} shards, got one for ${at.length}`);
  }
  return at;
}

function read(cursor: string): string[] | undefined {
  try {
    const { v, at } = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    const isPosition = v === 1 && Array.isArray(at) && at.every((id) => typeof id === "string" && STREAM_ID.test(id));
    return isPosition ? at : undefined;
  } catch {
    return undefined;
  }
}

/** Negative when the stream id `a` comes before `b`. */
export function compareStreamIds(a: string, b: string): number {
  const [[aMs = "0", aSeq = "0"], [bMs = "0", bSeq = "0"]] = [a.split("-"), b.split("-")];
  const difference = BigInt(aMs) - BigInt(bMs) || BigInt(aSeq) - BigInt(bSeq);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** The last stream id before a time in ms. */
export function justBefore(ms: number): string {
  return ms <= 0 ? "0-0" : `${ms - 1}-18446744073709551615`;
}
