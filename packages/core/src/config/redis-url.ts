/** Where Redis is: at an address, or wherever Sentinels say that the primary is now. */
export type RedisAddress =
  | { readonly kind: "single"; readonly url: string }
  | {
      readonly kind: "sentinel";
      readonly sentinels: readonly { readonly host: string; readonly port: number }[];
      /** What the Sentinels call the primary. */
      readonly name: string;
      readonly username?: string;
      readonly password?: string;
      readonly db: number;
      readonly isTls: boolean;
    };

const SENTINEL_PORT = 26_379;
const SENTINEL_URL =
  /^redis(?<tls>s?)-sentinel:\/\/(?:(?<user>[^:@/]*):(?<password>[^@/]*)@)?(?<hosts>[^@/]+)\/(?<db>\d+\/)?(?<name>[\w.-]+)$/;
const HOST = /^(?<host>\[[0-9a-f:.]+\]|[\w.-]+)(?::(?<port>\d{1,5}))?$/i;

/**
 * Reads `redis[s]://[user:password@]host[:port][/db]`, or, with Sentinels, all of them and the primary's name:
 * `redis[s]-sentinel://[user:password@]host[:port],host[:port]/[db/]name`. Undefined where it is neither.
 */
export function readRedisUrl(text: string): RedisAddress | undefined {
  if (/^rediss?:\/\//.test(text)) return URL.canParse(text) ? { kind: "single", url: text } : undefined;
  const parts = SENTINEL_URL.exec(text)?.groups;
  if (parts === undefined) return undefined;
  const { tls, user, password, hosts = "", db, name = "" } = parts;
  const sentinels = hosts.split(",").map((one) => HOST.exec(one)?.groups);
  if (sentinels.includes(undefined)) return undefined;
  try {
    return {
      kind: "sentinel",
      sentinels: sentinels.map((one) => ({
        host: String(one?.["host"]).replace(/^\[|\]$/g, ""),
        port: Number(one?.["port"] ?? SENTINEL_PORT),
      })),
      name,
      ...(user ? { username: decodeURIComponent(user) } : {}),
      ...(password ? { password: decodeURIComponent(password) } : {}),
      db: Number.parseInt(db ?? "0", 10),
      isTls: tls === "s",
    };
  } catch {
    // What is no percent-encoding.
    return undefined;
  }
}
