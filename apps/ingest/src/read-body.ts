import type { IncomingMessage } from "node:http";
import { getRawBody } from "raw-body";

export type Body =
  | { readonly kind: "read"; readonly bytes: Uint8Array }
  | { readonly kind: "too_large" }
  /** The sender went away, or sent less or more than announced. */
  | { readonly kind: "incomplete" };

/**
 * The body's bytes as they were sent: no content type is a reason to refuse, no content encoding is undone. A body that
 * is too large is known by its announced length, else as soon as it has grown too large.
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Body> {
  try {
    return {
      kind: "read",
      bytes: await getRawBody(request, { length: request.headers["content-length"] ?? null, limit }),
    };
  } catch (error) {
    // What is still coming is read and dropped, so that the sender gets to read the answer.
    request.resume();
    const type = error instanceof Error && "type" in error ? error.type : undefined;
    return { kind: type === "entity.too.large" ? "too_large" : "incomplete" };
  }
}
