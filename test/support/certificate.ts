import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { type RedisOptions, type RedisServer, startRedisNode } from "./redis-node.ts";

/** Files of a server's key and certificate, and of the authority that nobody trusts yet. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
  remove(): void;
}

const LOCAL = new URL("../../.local/", import.meta.url).pathname;
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];

/** For the loopback address and its name, or for those that are given as in `subjectAltName`. */
export function createCertificate(names: readonly string[] = ["IP:127.0.0.1", "DNS:localhost"]): Certificate {
  const dir = join(LOCAL, `tls-${randomUUID().slice(0, 8)}`);
  mkdirSync(dir, { recursive: true });
  const file = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const [caKey, ca, key, request, cert] = ["ca.key", "ca.pem", "key.pem", "request.pem", "cert.pem"].map(file) as [
    ...[string, string, string, string, string],
  ];
  openssl("req", "-x509", ...KEY, "-keyout", caKey, "-out", ca, "-days", "2", "-subj", "/CN=an authority of the tests");
  openssl("req", ...KEY, "-keyout", key, "-out", request, "-subj", "/CN=a Redis of the tests");
  writeFileSync(file("names"), `subjectAltName=${names.join()}\n`);
  const signed = ["-CA", ca, "-CAkey", caKey, "-CAcreateserial", "-extfile", file("names"), "-days", "2"];
  openssl("x509", "-req", "-in", request, "-out", cert, ...signed);
  return { key, cert, ca, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Makes this process trust the authority. Apps do so by NODE_EXTRA_CA_CERTS. */
export function trust({ ca }: Certificate): void {
  setDefaultCACertificates([...getCACertificates("default"), readFileSync(ca, "utf8")]);
}

/** One server with TLS, a user and a password, which this process and the apps that it starts trust. */
export async function startCertified(options: RedisOptions): Promise<RedisServer> {
  const certificate = createCertificate();
  trust(certificate);
  // Node reads it when it starts: here it is for the processes that are started from now on.
  process.env["NODE_EXTRA_CA_CERTS"] = certificate.ca;
  const server = await startRedisNode({ ...options, certificate, user: { name: "app", password: "p@ss" } });
  return {
    ...server,
    async stop() {
      await server.stop();
      certificate.remove();
    },
  };
}
