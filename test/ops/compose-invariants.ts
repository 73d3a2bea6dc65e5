import { readFileSync } from "node:fs";
import { ConfigError, loadConfig } from "@calendly-worker/core/config/load";
import { variables } from "@calendly-worker/core/config/schema";
import type { Variable } from "@calendly-worker/core/config/variable";
import { CLOSING_MS } from "@calendly-worker/core/lifecycle/run-app";
import { parse } from "yaml";

// biome-ignore lint/suspicious/noExplicitAny: what the file holds is what is to be found out.
export type Service = any;

export interface Compose {
  readonly services: Record<string, Service>;
  readonly volumes: Record<string, unknown>;
}

const ROOT = new URL("../../", import.meta.url);
const SCHEMA: Readonly<Record<string, Variable>> = variables;

/** docker-compose.yml, its anchors resolved. */
export function readCompose(): Compose {
  return parse(readFileSync(new URL("docker-compose.yml", ROOT), "utf8"), { merge: true });
}

export const dockerfile = readFileSync(new URL("Dockerfile", ROOT), "utf8");

const IMAGES = {
  ingest: "calendly-worker/ingest",
  worker: "calendly-worker/worker",
  cli: "calendly-worker/cli",
} as const;
/** Of an installation, so that nothing of the demo's may be found in them. */
const isOfDemo = (name: string) => name.startsWith("demo-");

function runs(compose: Compose, app: keyof typeof IMAGES): [string, Service][] {
  return Object.entries(compose.services).filter(([, { image }]) => image === IMAGES[app]);
}
const apps = (compose: Compose) => (["ingest", "worker"] as const).flatMap((app) => runs(compose, app));
const own = (compose: Compose) =>
  Object.entries(compose.services).filter(([, { image }]) => image.startsWith("calendly-worker/"));
const redises = (compose: Compose) =>
  Object.entries(compose.services).filter(([, { image }]) => image.startsWith("redis:"));
const proxies = (compose: Compose) =>
  Object.entries(compose.services).filter(([, { image }]) => image.startsWith("caddy:"));
const environmentOf = ({ environment = {} }: Service): Record<string, unknown> => environment;

/** Seconds of "40s" or "1m30s". */
function secondsOf(duration: unknown): number {
  const [, minutes = "0", seconds = "0"] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(String(duration)) ?? [];
  return Number(minutes) * 60 + Number(seconds);
}

/** As compose reads it, with these variables in its environment. */
function substitute(value: unknown, given: Readonly<Record<string, string>>): string {
  return String(value).replace(
    /\$\{(\w+)(?::-([^}]*))?\}/g,
    (_, name: string, fallback = "") => given[name] || fallback,
  );
}

/** The targets of a Dockerfile, with what each is made from. */
export function targetsOf(file: string): Map<string, string> {
  return new Map([...file.matchAll(/^FROM (\S+) AS (\S+)/gm)].map(([, from, name]) => [String(name), String(from)]));
}

/** What must hold. Gives what is wrong, as sentences. */
export const INVARIANTS: Readonly<Record<string, (compose: Compose, dockerfile: string) => readonly string[]>> = {
  "every variable of an app is known, and none is forgotten": (compose) =>
    [...apps(compose), ...runs(compose, "cli")].flatMap(([name, service]) => {
      const given = Object.keys(environmentOf(service));
      const unknown = given.filter((one) => !(one in SCHEMA) && !one.startsWith("DD_"));
      const forgotten = isOfDemo(name)
        ? []
        : Object.entries(SCHEMA).filter(([one, { secret }]) => {
            const isOthers =
              secret === true || (name.startsWith("ingest") ? /^WORKER_(HOST|PORT)/ : /^INGEST_/).test(one);
            return !isOthers && !given.includes(one);
          });
      return [
        ...unknown.map((one) => `${name}: nobody knows ${one}`),
        ...forgotten.map(([one]) => `${name}: ${one} of .env does not get there`),
      ];
    }),

  "with a filled .env each app starts, and without one each says what is missing": (compose) =>
    apps(compose).flatMap(([name, service]) => {
      const app = service.image === IMAGES.ingest ? "ingest" : "worker";
      const read = (given: Readonly<Record<string, string>>) => {
        const values = Object.entries(environmentOf(service)).map(([one, value]) => [one, substitute(value, given)]);
        try {
          loadConfig([app], Object.fromEntries(values));
          return [];
        } catch (error) {
          return error instanceof ConfigError ? error.problems : [String(error)];
        }
      };
      const required = Object.entries(SCHEMA).filter(([, { requiredBy }]) => requiredBy?.includes(app));
      const filled = Object.fromEntries(required.map(([one]) => [one, `a-value-of-${one}`]));
      const wrong = read(filled).map((problem) => `${name}: ${problem}`);
      const isDefaulted = !isOfDemo(name) && read({}).length !== required.length;
      return isDefaulted ? [...wrong, `${name}: starts without its secrets`] : wrong;
    }),

  "secrets have no default but in the demo, which takes nothing from .env": (compose) =>
    own(compose).flatMap(([name, service]) =>
      Object.entries(environmentOf(service)).flatMap(([one, value]) => {
        const isOpen = SCHEMA[one]?.secret === true && one !== "REDIS_URL" && value !== `\${${one}:-}`;
        if (!isOfDemo(name)) return isOpen ? [`${name}: ${one} has a default`] : [];
        return String(value).includes("${") ? [`${name}: ${one} comes from .env`] : [];
      }),
    ),

  "whoever faces the world has no token of Calendly's": (compose) =>
    runs(compose, "ingest").flatMap(([name, service]) =>
      Object.keys(environmentOf(service))
        .filter((one) => /API_TOKEN|CONSUMER_TOKENS/.test(one))
        .map((one) => `${name} has ${one}`),
    ),

  "each target is in the Dockerfile, and no code of tests is in what an installation runs": (compose, file) => {
    const targets = targetsOf(file);
    const missing = own(compose)
      .filter(([, { build, image }]) => !targets.has(build.target) || image !== `calendly-worker/${build.target}`)
      .map(([name]) => `${name}: its image is not in the Dockerfile`);
    const stages = file.split(/^(?=FROM )/m);
    const foreign = stages
      .filter((stage) => /^FROM runtime AS (ingest|worker|cli)\b/.test(stage) && /^COPY (?:test|.*\/test)/m.test(stage))
      .map((stage) => `${stage.split("\n")[0]}: has code of tests`);
    return [...missing, ...foreign];
  },

  "what is up for long has a health check": (compose, file) => {
    const lacking = [...redises(compose), ...proxies(compose)].filter(([, { healthcheck }]) => !healthcheck?.test);
    const stages = file.split(/^(?=FROM )/m);
    const unchecked = (["ingest", "worker", "demo"] as const).filter((app) => {
      const stage = stages.find((one) => one.startsWith(`FROM runtime AS ${app}\n`)) ?? "";
      return !/^HEALTHCHECK .*\\\n {2}CMD \["node"/m.test(stage);
    });
    const disabled = apps(compose).filter(([, { healthcheck }]) => healthcheck?.disable === true);
    return [...lacking, ...disabled]
      .map(([name]) => `${name} has no health check`)
      .concat(unchecked.map((app) => `${app} has no health check, or one that needs a program`));
  },

  "nothing but memory can be written, and no right is left": (compose) =>
    [...own(compose), ...redises(compose), ...proxies(compose)].flatMap(([name, service]) => {
      const added = service.cap_add ?? [];
      const mayAdd = service.image.startsWith("caddy:") ? "NET_BIND_SERVICE" : "";
      return [
        service.read_only === true ? "" : "may write",
        service.cap_drop?.includes("ALL") ? "" : "keeps capabilities",
        added.join() === mayAdd ? "" : "has more capabilities",
        service.security_opt?.includes("no-new-privileges:true") ? "" : "may gain privileges",
        service.privileged === undefined ? "" : "is privileged",
        service.init === true ? "" : "has no init",
        service.user === undefined || service.image.startsWith("redis:") ? "" : "has another user",
      ]
        .filter((fault) => fault !== "")
        .map((fault) => `${name} ${fault}`);
    }),

  "an app has time to end by itself": (compose) =>
    apps(compose).flatMap(([name, service]) => {
      const { SHUTDOWN_DELAY: delay, SHUTDOWN_DEADLINE: deadline } = environmentOf(service);
      const needed = Number(delay) + Number(deadline) + CLOSING_MS / 1_000;
      return secondsOf(service.stop_grace_period) > needed ? [] : [`${name} is killed before ${needed} s`];
    }),

  "Redis keeps what it has taken": (compose) =>
    redises(compose).flatMap(([name, { command, volumes = [] }]) => {
      const has = (option: string, value: string) => command[command.indexOf(option) + 1] === value;
      const isKept =
        isOfDemo(name) ||
        volumes.some((one: string) => /^[a-z-]+:\/data$/.test(one) && (one.split(":")[0] ?? "") in compose.volumes);
      return [
        has("--appendonly", "yes") ? "" : "keeps no append-only file",
        has("--appendfsync", "always") ? "" : "may lose a second",
        has("--maxmemory-policy", "noeviction") ? "" : "evicts",
        isKept ? "" : "has no volume",
      ]
        .filter((fault) => fault !== "")
        .map((fault) => `${name} ${fault}`);
    }),

  "Grafana has the password of .env, also after its change": (compose) =>
    Object.entries(compose.services)
      .filter(([, { image }]) => image.startsWith("grafana/grafana:"))
      .flatMap(([name, service]) => {
        // It takes the password only when it makes its database, which must not outlive the container.
        const keeps = (service.volumes ?? []).some((one: string) => one.split(":")[1] === "/var/lib/grafana");
        const isTold = environmentOf(service)["GF_SECURITY_ADMIN_PASSWORD"] === `\${OPS_API_TOKEN:-}`;
        return [
          ...(keeps ? [`${name} keeps the password of its first start`] : []),
          ...(isTold ? [] : [`${name} has another password`]),
        ];
      }),

  "only the ingest and the proxy are open to the world": (compose) =>
    Object.entries(compose.services).flatMap(([name, { ports = [] }]) =>
      ports
        .map((port: string) => substitute(port, {}))
        .filter((port: string) => !port.startsWith("127.0.0.1:") && !["ingest", "proxy"].includes(name))
        .map((port: string) => `${name} is open to the world at ${port}`),
    ),

  "the demo and an installation share nothing": (compose) => {
    const networksOf = ({ networks = ["default"] }: Service): string[] =>
      Array.isArray(networks) ? networks : Object.keys(networks);
    return Object.entries(compose.services).flatMap(([name, service]) => {
      const { profiles = [] } = service;
      const faults = networksOf(service).some((network) => (network === "demo") !== isOfDemo(name))
        ? [`${name} is in the other's network`]
        : [];
      if (profiles.includes("demo") !== isOfDemo(name)) faults.push(`${name} is in the other's profile`);
      if (profiles.length !== 1) faults.push(`${name} starts with whatever is started`);
      if (isOfDemo(name) && (service.volumes ?? []).some((one: string) => !one.startsWith("./")))
        faults.push(`${name} leaves something behind`);
      return faults;
    });
  },

  "the proxy leads to two ingests that are there, and asks them often enough": (compose) => {
    const file = readFileSync(new URL("ops/compose/Caddyfile", ROOT), "utf8");
    const [, upstreams = ""] = /reverse_proxy (.+) \{/.exec(file) ?? [];
    const [, interval = ""] = /health_interval (\S+)/.exec(file) ?? [];
    const namesIn = (network: string) =>
      runs(compose, "ingest").flatMap(([name, { networks = {} }]) =>
        network in networks ? [name, ...(networks[network]?.aliases ?? [])] : [],
      );
    const hosts = upstreams.split(" ").map((one) => one.replace(/:3000$/, ""));
    const lost = ["front", "demo"].flatMap((network) =>
      hosts.filter((host) => !namesIn(network).includes(host)).map((host) => `${network}: there is no ${host}`),
    );
    const delays = runs(compose, "ingest").map(([, service]) => Number(environmentOf(service)["SHUTDOWN_DELAY"]));
    // One look may be under way, and the next may take its whole time-out.
    const isSoon =
      /^health_uri \/readyz$/m.test(file.replaceAll(/^\s+/gm, "")) &&
      delays.every((delay) => delay > secondsOf(interval) + 2);
    return [
      ...lost,
      ...(hosts.length === 2 ? [] : ["there are not two"]),
      ...(isSoon ? [] : ["an ingest is gone before the proxy knows"]),
    ];
  },
};
