import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

export interface PostTimeouts {
  readonly connectMs: number;
  /** From the connection to the end of the answer. */
  readonly readMs: number;
}

/** Calendly's own. */
export const CALENDLY_TIMEOUTS: PostTimeouts = { connectMs: 10_000, readMs: 15_000 };

export interface Answer {
  readonly status: number;
  /** Parsed where it is JSON. */
  readonly body: unknown;
}

/** Posts JSON and gives the answer as it is, redirections too. Rejects with a sentence when none comes. */
export function post(url: string, { headers, body, timeouts, signal }: PostOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const send = url.startsWith("https:") ? httpsRequest : httpRequest;
    // A connection of its own for each: what is slow or broken for one delivery is not for the next.
    const sending = send(url, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
      agent: false,
      signal,
    });
    const giveUp = (why: string) => () => {
      reject(new Error(why));
      sending.destroy();
    };
    let timer = setTimeout(giveUp(`not connected within ${timeouts.connectMs} ms`), timeouts.connectMs);
    sending.on("socket", (socket) =>
      socket.once("connect", () => {
        clearTimeout(timer);
        timer = setTimeout(giveUp(`no answer within ${timeouts.readMs} ms`), timeouts.readMs);
      }),
    );
    sending.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error) => reject(new Error(sentenceOf(error))));
      response.on("end", () => {
        resolve({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(chunks).toString("utf8")) });
      });
    });
    sending.on("error", (error) => reject(new Error(sentenceOf(error))));
    sending.on("close", () => clearTimeout(timer));
    sending.end(body);
  });
}

interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeouts: PostTimeouts;
  readonly signal: AbortSignal;
}

/** A name that has several addresses fails with an error whose own message is empty. */
function sentenceOf(error: Error & { code?: string }): string {
  return error.message || error.code || error.name;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
