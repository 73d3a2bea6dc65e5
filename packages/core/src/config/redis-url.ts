interface Several {
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly username?: string;
  readonly password?: string;
  readonly isTls: boolean;
}

/** Where Redis is: at an address, wherever Sentinels say that the primary is now, or on the nodes of a cluster. */
export type RedisAddress =
  | { readonly kind: "single"; readonly url: string }
  /** `name`: what the Sentinels call the primary. */
  | ({ readonly kind: "sentinel"; readonly name: string; readonly db: number } & Several)
  /** Some of its nodes: they know the others. */
  | ({ readonly kind: "cluster" } & Several);

const PORTS = { sentinel: 26_379, cluster: 6_379 };
const SEVERAL =
  /^redis(?<tls>s?)-(?<kind>sentinel|cluster):\/\/(?:(?<user>[^:@/]*):(?<password>[^@/]*)@)?(?<hosts>[^@/]+)(?:\/(?<rest>.*))?$/;
const REST = /^(?:(?<db>\d+)\/)?(?<name>[\w.-]+)$/;
const HOST = /^(?<host>\[[0-9a-f:.]+\]|[\w.-]+)(?::(?<port>\d{1,5}))?$/i;

/**
 * Reads `redis[s]://[user:password@]host[:port][/db]`; with Sentinels, all of them and the primary's name:
 * `redis[s]-sentinel://[user:password@]host[:port],host[:port]/[db/]name`; or some nodes of a cluster:
 * `redis[s]-cluster://[user:password@]host[:port],host[:port]`. Undefined where it is none of these.
 */
export function readRedisUrl(text: string): RedisAddress | undefined {
  if (/^rediss?:\/\//.test(text)) return URL.canParse(text) ? { kind: "single", url: text } : undefined;
  const parts = SEVERAL.exec(text)?.groups;
  if (parts === undefined) return undefined;
  const { tls, kind, user, password, hosts = "", rest } = parts;
  const several = readSeveral({ kind: kind as keyof typeof PORTS, user, password, hosts, isTls: tls === "s" });
  if (several === undefined) return undefined;
  if (kind === "cluster") return rest ? undefined : { kind, ...several };
  const { db = "0", name } = REST.exec(rest ?? "")?.groups ?? {};
  return name === undefined ? undefined : { kind: "sentinel", name, db: Number(db), ...several };
}

function readSeveral(parts: {
  readonly kind: keyof typeof PORTS;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly hosts: string;
  readonly isTls: boolean;
}): Several | undefined {
  const { kind, user, password, isTls } = parts;
  const hosts = parts.hosts.split(",").flatMap((one) => {
    const { host, port = PORTS[kind] } = HOST.exec(one)?.groups ?? {};
    return host === undefined ? [] : [{ host: host.replace(/^\[|\]$/g, ""), port: Number(port) }];
  });
  if (hosts.length < parts.hosts.split(",").length) return undefined;
  try {
    return {
      hosts,
      ...(user ? { username: decodeURIComponent(user) } : {}),
      ...(password ? { password: decodeURIComponent(password) } : {}),
      isTls,
    };
  } catch {
    // What is no percent-encoding.
    return undefined;
  }
}
