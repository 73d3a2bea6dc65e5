import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { atExit } from "./at-exit.ts";
import type { Certificate } from "./certificate.ts";
import { until } from "./until.ts";

/** A Redis of one's own, which can be killed, frozen and brought back. Keeps its data until it is stopped. */
export interface RedisServer {
  /** As REDIS_URL. */
  readonly url: string;
  readonly port: number;
  /** SIGKILL: as if the machine's process table had lost it. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Starts it again on the same port with the same data, after `kill`. */
  restart(): Promise<void>;
  /** From now on, no file of its may grow, as if its disk were full; false ends that. Not where it runs in a container. */
  fillDisk(isFull: boolean): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export interface RedisOptions {
  readonly appendfsync?: "always" | "everysec";
  /** Further settings, as on the command line: `["--maxmemory-policy", "allkeys-lru"]`. */
  readonly settings?: readonly string[];
  /** Whom it lets in; everybody, where nobody is named. */
  readonly user?: RedisUser;
  /** It speaks nothing but TLS then. */
  readonly certificate?: Certificate;
}

export interface RedisUser {
  readonly name: string;
  readonly password: string;
  /** As in `ACL SETUSER`: all, where they are not said. */
  readonly rules?: string;
}

/** How to start servers, as found by scripts/bootstrap.mjs: a program, or "docker". */
const launcher = () => process.env["TEST_REDIS_SERVER"] || "redis-server";

const LOCAL = new URL("../../.local/", import.meta.url).pathname;
const IMAGE = "redis:7-alpine";

/**
 * How long a primary may be away before another server takes its place: longer than any test keeps one away, as those are
 * about a Redis that is away. `pnpm chaos` has fail-overs.
 */
export const FAIL_OVER_MS = 60_000;

/** One server, whatever TEST_REDIS_TOPOLOGY says. */
export async function startRedisNode(options: RedisOptions = {}): Promise<RedisServer> {
  const port = await freePort();
  const { user, certificate } = options;
  const settings = [
    "--appendonly",
    "yes",
    "--appendfsync",
    options.appendfsync ?? "always",
    "--save",
    "",
    // A replica gets its copy at once: nobody waits for a second one to come along.
    "--repl-diskless-sync-delay",
    "0",
    ...(user === undefined ? [] : lettingIn(user)),
    ...(certificate === undefined ? [] : speakingTls(port, certificate)),
    ...(options.settings ?? []),
  ];
  if (launcher() === "docker" && certificate !== undefined) throw new Error("TLS needs a redis-server on the PATH");
  const server = launcher() === "docker" ? inContainer(port, settings) : asProcess(launcher(), port, settings);
  const isAnswering = () => answersPing(port, options);

  // Whatever way this process ends, the server does not outlive it.
  const end = () => server.endNow();
  atExit.add(end);
  await server.start();
  await untilAnswering(port, isAnswering);

  return {
    url: `redis${certificate === undefined ? "" : "s"}://${credentialsOf(user)}127.0.0.1:${port}`,
    port,
    kill: () => server.kill(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    async restart() {
      await server.start();
      await untilAnswering(port, isAnswering);
    },
    fillDisk: (isFull) => server.fillDisk(isFull),
    async stop() {
      await server.kill();
      server.endNow();
      atExit.remove(end);
    },
  };
}

/** What stands before the hosts of an address. */
export function credentialsOf(user: RedisUser | undefined): string {
  return user === undefined ? "" : `${user.name}:${encodeURIComponent(user.password)}@`;
}

/** Servers know each other by the password of the user who may do everything, which nobody else is told. */
function lettingIn({ name, password, rules = "~* &* +@all" }: RedisUser): string[] {
  const among = `among-${password}`;
  return ["--requirepass", among, "--masterauth", among, "--user", name, "on", `>${password}`, ...rules.split(" ")];
}

/** The user whom `lettingIn` keeps for the servers themselves. */
export function administratorOf(user: RedisUser | undefined): RedisUser | undefined {
  return user && { name: "default", password: `among-${user.password}` };
}

function speakingTls(port: number, certificate: Certificate): string[] {
  const settings = tlsSettings(port, certificate).flatMap(([name, value]) => [`--${name}`, value]);
  return [...settings, "--tls-cluster", "yes"];
}

/** Of a server, or a Sentinel, that speaks nothing but TLS, with others of its kind too. */
export function tlsSettings(port: number, { key, cert, ca }: Certificate): [name: string, value: string][] {
  return [
    ["tls-port", String(port)],
    ["port", "0"],
    ["tls-replication", "yes"],
    ["tls-key-file", key],
    ["tls-cert-file", cert],
    ["tls-ca-cert-file", ca],
    ["tls-auth-clients", "no"],
  ];
}

interface Launched {
  start(): Promise<void>;
  kill(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  fillDisk(isFull: boolean): Promise<void>;
  /** Kills it and removes its data, without waiting: called while this process exits. */
  endNow(): void;
}

function asProcess(program: string, port: number, settings: readonly string[]): Launched {
  const dir = join(LOCAL, `redis-${port}-${randomUUID().slice(0, 8)}`);
  mkdirSync(dir, { recursive: true });
  let child: ChildProcess | undefined;
  return {
    async start() {
      const args = ["--port", String(port), "--bind", "127.0.0.1", "--dir", dir, ...settings];
      // A process group of its own: Ctrl-C is for whoever started it, who then ends it when it is no longer needed.
      // A write beyond the limit of `fillDisk` fails, instead of ending the server.
      const ignoringLimit = ["-c", 'trap "" XFSZ; exec "$0" "$@"', program, ...args];
      child = spawn("sh", ignoringLimit, { stdio: ["ignore", "ignore", "inherit"], detached: true });
      await once(child, "spawn");
      const guard = guardWith(`kill -9 ${child.pid}; rm -rf '${dir}'`);
      child.once("exit", () => guard.kill("SIGKILL"));
    },
    async kill() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
    async freeze() {
      child?.kill("SIGSTOP");
    },
    async thaw() {
      child?.kill("SIGCONT");
    },
    async fillDisk(isFull) {
      await promisify(execFile)("prlimit", ["--pid", String(child?.pid), `--fsize=${isFull ? "1" : "unlimited"}:`]);
    },
    endNow() {
      child?.kill("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function inContainer(port: number, settings: readonly string[]): Launched {
  const name = `calendly-worker-redis-${port}`;
  const remove = ["rm", "--force", "--volumes", name];
  let guard: ChildProcess | undefined;
  return {
    async start() {
      if (guard !== undefined) {
        await docker("start", name);
        return;
      }
      const publish = ["--publish", `127.0.0.1:${port}:6379`, "--volume", "/data", "--workdir", "/data"];
      await docker(
        "run",
        "--detach",
        "--name",
        name,
        ...publish,
        IMAGE,
        "redis-server",
        "--protected-mode",
        "no",
        ...settings,
      );
      guard = guardWith(`docker ${remove.join(" ")}`);
    },
    async kill() {
      const running = await docker("inspect", "--format", "{{.State.Running}}", name);
      if (running === "true") await docker("kill", name);
    },
    async freeze() {
      await docker("pause", name);
    },
    async thaw() {
      await docker("unpause", name);
    },
    async fillDisk() {
      throw new Error("a disk can be filled only where redis-server is a program of this machine");
    },
    endNow() {
      spawnSync("docker", remove, { stdio: "ignore" });
      guard?.kill("SIGKILL");
    },
  };
}

/** Runs a command when this process is killed: the pipe to a waiting shell closes then. */
function guardWith(command: string): ChildProcess {
  const script = `read -r never; ${command} >/dev/null 2>&1`;
  const guard = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  guard.unref();
  return guard;
}

/** Asynchronous, so that what the test does meanwhile goes on. Gives what it printed. */
async function docker(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)("docker", args);
  return stdout.trim();
}

/** Files that run side by side have ports of their own. */
const PORTS = 5_000;
const FIRST_PORT = 20_000 + ((Number(process.env["JEST_WORKER_ID"] ?? 1) - 1) % 2) * PORTS;
const given = new Set<number>();

/**
 * A port of the loopback address that nobody listens on at the moment. Below the range that outgoing connections take
 * theirs from, or else one of those could take it before it is used.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    // One that was given may not be in use yet.
    if (given.has(port)) continue;
    given.add(port);
    const server = createServer().listen(port, "127.0.0.1");
    try {
      await once(server, "listening");
    } catch {
      continue;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}

async function untilAnswering(port: number, isAnswering: () => Promise<boolean>): Promise<void> {
  // It reads all that it has first.
  await until(`Redis answers on port ${port}`, isAnswering, { deadlineMs: 120_000 });
}

function answersPing(port: number, { user, certificate }: RedisOptions): Promise<boolean> {
  const login = user === undefined ? "" : `AUTH ${user.name} ${user.password}\r\n`;
  return new Promise((resolve) => {
    const ask = () => socket.write(`${login}PING\r\n`);
    const to = { port, host: "127.0.0.1" };
    // Whether it is the right one is for those who use it to find out.
    const socket = certificate === undefined ? connect(to, ask) : connectTls({ ...to, rejectUnauthorized: false }, ask);
    let heard = "";
    socket.setTimeout(1_000, () => finish(false));
    socket.on("data", (data) => {
      heard += data.toString();
      if (heard.includes("+PONG")) finish(true);
      else if (/^-(?!NOPERM)/m.test(heard)) finish(false);
      // Who may not ask for a sign of life is answered all the same.
      else if (heard.includes("-NOPERM")) finish(true);
    });
    socket.once("error", () => finish(false));
    // A container's port is open before there is a Redis behind it: such a connection ends without a word.
    socket.once("close", () => finish(false));
    function finish(answer: boolean) {
      socket.destroy();
      resolve(answer);
    }
  });
}
