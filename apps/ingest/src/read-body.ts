import type { IncomingMessage } from "node:http";

export type Body =
  | { readonly kind: "read"; readonly bytes: Uint8Array }
  | { readonly kind: "too_large" }
  /** The sender went away, or sent less or more than announced. */
  | { readonly kind: "incomplete" }
  /** So much came on other connections meanwhile that there was no room for it any more. Its connection is closed. */
  | { readonly kind: "given_up" };

/**
 * What one process keeps of bodies that are not complete yet, all together: until then nobody has signed for them. It is
 * room for thousands of genuine deliveries: a few kB each, there within milliseconds. With what waits to be collected as
 * garbage a process grows by 120 MB until this is reached, and must stay well below its pod's 384Mi.
 */
const MOST_UNFINISHED_BYTES = 32 * 1_048_576;
const NOTHING = Buffer.alloc(0);

interface Unfinished {
  /** What has come, and room for more. */
  room: Buffer;
  length: number;
  giveUp(): void;
}

/**
 * Gives what reads a request's body: its bytes as they were sent. No content type is a reason to refuse, no content
 * encoding is undone. One of more than `limit` bytes is known by its announced length, else as soon as it has grown too
 * large. Of bodies that are kept waiting for the rest the oldest are given up when all together are too much.
 */
export function createBodyReader(limit: number): (request: IncomingMessage) => Promise<Body> {
  /** The oldest first. */
  const unfinished = new Set<Unfinished>();
  let heldBytes = 0;

  function add(body: Unfinished, chunk: Buffer): void {
    const before = body.room;
    const length = body.length + chunk.length;
    if (body.length === 0) {
      // Nearly all bodies are one chunk: it is kept as it is.
      body.room = chunk;
    } else {
      // More are copied together and not kept: a chunk of one byte is an object of 500 bytes.
      if (length > before.length) {
        body.room = Buffer.allocUnsafeSlow(Math.max(length, Math.min(2 * before.length, limit)));
        body.room.set(before.subarray(0, body.length));
      }
      body.room.set(chunk, body.length);
    }
    body.length = length;
    heldBytes += body.room.length - before.length;
  }

  /** Never the newest ones, of which one may be Calendly's: it takes milliseconds, and is not among the oldest that wait. */
  function makeRoom(): void {
    for (const oldest of unfinished) {
      if (heldBytes <= MOST_UNFINISHED_BYTES) return;
      oldest.giveUp();
    }
  }

  return (request) =>
    new Promise((resolve) => {
      const body: Unfinished = {
        room: NOTHING,
        length: 0,
        giveUp() {
          end({ kind: "given_up" });
          request.socket.destroy();
        },
      };

      function end(result: Body): void {
        request.off("data", onData).off("end", onEnd).off("close", onClose);
        unfinished.delete(body);
        heldBytes -= body.room.length;
        body.room = NOTHING;
        resolve(result);
      }
      function onData(chunk: Buffer): void {
        if (body.length + chunk.length > limit) {
          // What is still coming is read and dropped, so that the sender gets to read the answer.
          end({ kind: "too_large" });
          return;
        }
        add(body, chunk);
        unfinished.add(body);
        if (heldBytes > MOST_UNFINISHED_BYTES) makeRoom();
      }
      const onEnd = () => end({ kind: "read", bytes: body.room.subarray(0, body.length) });
      const onClose = () => end({ kind: "incomplete" });

      request.on("data", onData).on("end", onEnd).on("close", onClose);
      if (Number(request.headers["content-length"] ?? 0) > limit) end({ kind: "too_large" });
    });
}
