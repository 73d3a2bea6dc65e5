import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { until } from "../support/until.ts";

export const ROOT = new URL("../../", import.meta.url).pathname;

/** Of the shell only what leads to the engine: no setting of somebody's installation. */
const SHELL = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(PATH|HOME|DOCKER_.*|XDG_RUNTIME_DIR)$/.test(name)),
);

export type Environment = Readonly<Record<string, string>>;

export interface Ended {
  readonly code: number;
  /** What it said on standard output. */
  readonly said: string;
  /** Both outputs, in one. */
  readonly output: string;
}

/** Runs a program to its end. */
export async function run(program: string, args: readonly string[]): Promise<Ended> {
  const child = spawn(program, args, { cwd: ROOT, env: SHELL, stdio: ["ignore", "pipe", "pipe"] });
  const printed: string[] = [];
  const said: string[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed.push(text);
    said.push(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => printed.push(text));
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? 1));
  });
  return { code, said: said.join(""), output: printed.join("") };
}

/** What docker says; throws where it fails. */
export async function docker(...args: readonly string[]): Promise<string> {
  const { code, said, output } = await run("docker", args);
  if (code !== 0) throw new Error(`docker ${args.slice(0, 2).join(" ")} failed:\n${output.slice(-2_000)}`);
  return said.trim();
}

/** All that a container has printed. */
export async function logsOf(container: string, ...options: readonly string[]): Promise<string> {
  return (await run("docker", ["logs", ...options, container])).output;
}

/** What a container has used of the processors since it was started; undefined where the engine's socket is elsewhere. */
export async function cpuSeconds(id: string): Promise<number | undefined> {
  const [, socketPath = undefined] =
    /^unix:\/\/(.+)$/.exec(SHELL["DOCKER_HOST"] ?? "unix:///var/run/docker.sock") ?? [];
  if (socketPath === undefined) return undefined;
  const asked = get({ socketPath, path: `/containers/${id}/stats?stream=false&one-shot=true` });
  const [answer] = await once(asked, "response");
  const stats = (await json(answer)) as {
    readonly cpu_stats: { readonly cpu_usage: { readonly total_usage: number } };
  };
  return stats.cpu_stats.cpu_usage.total_usage / 1e9;
}

/** Milliseconds from a container's start to the first line of its log that has these words. */
export async function startMs(id: string, words: string): Promise<number> {
  const line = await until(
    `it says "${words}"`,
    async () => (await logsOf(id, "--timestamps")).split("\n").find((one) => one.includes(words)),
    { deadlineMs: 30_000, everyMs: 100 },
  );
  return (
    Date.parse(line.split(" ")[0] ?? "") - Date.parse(await docker("inspect", "--format", "{{.State.StartedAt}}", id))
  );
}

export interface Container {
  readonly name: string;
  readonly service: string;
  readonly config: Inspected;
}

/** The part of `docker inspect` that is looked at. */
export interface Inspected {
  readonly Config: { readonly User: string; readonly Healthcheck?: { readonly Test?: readonly string[] } };
  readonly State: {
    readonly Status: string;
    readonly StartedAt: string;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string };
  };
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapDrop: readonly string[] | null;
    readonly CapAdd: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly Init?: boolean | null;
  };
}

/** A project of compose with an environment of its own, in place of a .env. */
export function createProject(name: string, environment: Environment) {
  const dir = join(ROOT, ".local");
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${name}.env`);
  const lines = Object.entries(environment).map(([variable, value]) => `${variable}=${value}\n`);
  writeFileSync(file, lines.join(""), { mode: 0o600 });

  // 1.29 does not read profiles from a file that --env-file names.
  const profiles = (environment["COMPOSE_PROFILES"] ?? "").split(",").flatMap((one) => ["--profile", one]);
  const compose = async (...args: readonly string[]) =>
    await run("docker", ["compose", "--env-file", file, "--project-name", name, ...profiles, ...args]);
  const must = async (...args: readonly string[]) => {
    const { code, output } = await compose(...args);
    if (code !== 0) throw new Error(`docker compose ${args.join(" ")} failed:\n${output.slice(-3_000)}`);
    return output;
  };

  async function containers(): Promise<Container[]> {
    const ids = await docker("ps", "--all", "--quiet", "--filter", `label=com.docker.compose.project=${name}`);
    if (ids === "") return [];
    const all = JSON.parse(await docker("inspect", ...ids.split("\n"))) as (Inspected & {
      readonly Name: string;
      readonly Config: { readonly Labels: Readonly<Record<string, string>> };
    })[];
    return all.map((config) => ({
      name: config.Name.slice(1),
      service: config.Config.Labels["com.docker.compose.service"] ?? "",
      config,
    }));
  }
  const find = async (service: string) => (await containers()).find((one) => one.service === service);

  return {
    compose,
    must,
    containers,
    /** Waits until every one of them that has a health check is healthy. */
    untilHealthy: (services: readonly string[] | "all", deadlineMs = 60_000) =>
      until(
        `${services} healthy`,
        async () => {
          const looked = (await containers()).filter(({ service }) => services === "all" || services.includes(service));
          return (
            looked.length > 0 &&
            looked.every(({ config: { State, Config } }) => {
              const isChecked = Config.Healthcheck?.Test !== undefined && Config.Healthcheck.Test[0] !== "NONE";
              return !isChecked || State.Health?.Status === "healthy";
            })
          );
        },
        { deadlineMs, everyMs: 200 },
      ),
    /** The exit code of one that ends by itself. */
    untilEnded: async (service: string, deadlineMs = 60_000): Promise<number> => {
      const { config } = await until(
        `${service} has ended`,
        async () => {
          const found = await find(service);
          return found?.config.State.Status === "exited" ? found : undefined;
        },
        { deadlineMs, everyMs: 200 },
      );
      return config.State.ExitCode;
    },
    logs: async (service: string) => await logsOf((await find(service))?.name ?? service),
    /** Leaves nothing of it behind. */
    down: async () => {
      // Without the file compose would not find the project.
      writeFileSync(file, lines.join(""), { mode: 0o600 });
      await must("down", "--volumes", "--remove-orphans");
      rmSync(file);
    },
  };
}

export type Project = ReturnType<typeof createProject>;

/** Ports that nothing listens at now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
