import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { type Compose, dockerfile, INVARIANTS, readCompose } from "./compose-invariants.ts";

const problems = (compose: Compose, file = dockerfile) =>
  Object.values(INVARIANTS).flatMap((invariant) => invariant(compose, file));

describe("docker-compose.yml and the Dockerfile", () => {
  test.each(Object.entries(INVARIANTS))("%s", (_, invariant) => {
    expect(invariant(readCompose(), dockerfile)).toEqual([]);
  });

  test("the images bear the version of the project", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(dockerfile).toContain(`ARG VERSION=${version}\n`);
  });

  test("the example of a .env starts an installation", () => {
    const example = readFileSync(new URL("../../.env.example", import.meta.url), "utf8");
    const [, profile = ""] = /^COMPOSE_PROFILES=(.+)$/m.exec(example) ?? [];
    const started = Object.entries(readCompose().services).filter(([, { profiles }]) => profiles.includes(profile));
    expect(started.map(([name]) => name)).toEqual(["redis", "ingest", "worker"]);
  });
});

describe("the page on compose", () => {
  const readme = readFileSync(new URL("../../ops/compose/README.md", import.meta.url), "utf8");
  const [, replacing = "", goingBack = ""] =
    /## Replace one.*?```sh(.*?)```.*?## Go back.*?```sh(.*?)```/s.exec(readme) ?? [];

  /** The services that such commands of compose name, in the order of the page. */
  const namedIn = (text: string, command: string) =>
    [...text.matchAll(new RegExp(`docker compose ${command}((?: [a-z0-9-]+)+)`, "g"))].flatMap(([, names = ""]) =>
      names.trim().split(" "),
    );
  const UP = "up --detach --no-deps --wait";

  test("names services that there are", () => {
    const named = [UP, "build", "logs"].flatMap((command) => namedIn(readme, command));
    expect(named.length).toBeGreaterThan(12);
    const { services } = readCompose();
    expect(named.filter((name) => !(name in services))).toEqual([]);
  });

  test("replaces workers first, goes back with ingests first, and with a command line of the same version", () => {
    expect(namedIn(replacing, UP)).toEqual(["worker", "ingest", "ingest-2"]);
    expect(namedIn(goingBack, UP)).toEqual(["ingest", "ingest-2", "worker"]);
    for (const text of [replacing, goingBack]) expect(namedIn(text, "build")).toEqual(["ingest", "worker", "cli"]);
  });
});

/** As compose reads a variable. */
const fromEnvironment = (name: string, fallback = "") => `\${${name}:-${fallback}}`;

/** A mistake, and a part of the sentence that must tell it. */
const MUTANTS: readonly (readonly [string, (services: Compose["services"]) => unknown, string])[] = [
  [
    "a variable is misspelt",
    (all) => Object.assign(all["worker"].environment, { CALENDLY_SHARD: "1" }),
    "knows CALENDLY_SHARD",
  ],
  [
    "a setting does not get there",
    (all) => delete all["ingest-2"].environment.CALENDLY_EVENT_TYPES,
    "CALENDLY_EVENT_TYPES of .env",
  ],
  [
    "a setting does not fit",
    (all) => Object.assign(all["demo-worker"].environment, { WORKER_PORT: "x" }),
    "WORKER_PORT: expected",
  ],
  [
    "a secret has a default",
    (all) => Object.assign(all["ingest"].environment, { CALENDLY_WEBHOOK_SIGNING_KEY: fromEnvironment("X", "x") }),
    "CALENDLY_WEBHOOK_SIGNING_KEY has a default",
  ],
  [
    "the demo takes a setting of somebody's",
    (all) =>
      Object.assign(all["demo-worker"].environment, { CALENDLY_SHARDS: fromEnvironment("CALENDLY_SHARDS", "1") }),
    "demo-worker: CALENDLY_SHARDS comes from .env",
  ],
  [
    "the ingest gets a token",
    (all) => Object.assign(all["ingest"].environment, { CALENDLY_API_TOKEN: fromEnvironment("CALENDLY_API_TOKEN") }),
    "ingest has CALENDLY_API_TOKEN",
  ],
  ["an image has another name", (all) => Object.assign(all["cli"].build, { target: "command-line" }), "cli: its image"],
  [
    "a health check is switched off",
    (all) => Object.assign(all["worker"], { healthcheck: { disable: true } }),
    "worker has no health check",
  ],
  ["files may be written", (all) => Object.assign(all["ingest"], { read_only: false }), "ingest may write"],
  ["Redis keeps its capabilities", (all) => delete all["redis"].cap_drop, "redis keeps capabilities"],
  [
    "a capability is added",
    (all) => Object.assign(all["worker"], { cap_add: ["NET_ADMIN"] }),
    "worker has more capabilities",
  ],
  [
    "an app is killed while it ends",
    (all) => Object.assign(all["worker"], { stop_grace_period: "30s" }),
    "worker is killed before 30 s",
  ],
  [
    "the append-only file is off",
    (all) => Object.assign(all["redis"].command, { 2: "no" }),
    "redis keeps no append-only file",
  ],
  ["Redis evicts", (all) => Object.assign(all["redis"].command, { 6: "allkeys-lru" }), "redis evicts"],
  ["Redis has no volume", (all) => delete all["redis"].volumes, "redis has no volume"],
  [
    "Grafana has a volume",
    (all) => all["grafana"].volumes.push("grafana-data:/var/lib/grafana"),
    "grafana keeps the password of its first start",
  ],
  [
    "the worker is open to the world",
    (all) => Object.assign(all["worker"], { ports: ["3001:3001"] }),
    "worker is open to the world",
  ],
  [
    "Redis is open to the world",
    (all) => Object.assign(all["redis"], { ports: ["6379:6379"] }),
    "redis is open to the world",
  ],
  [
    "the demo's worker asks in another's network",
    (all) => Object.assign(all["demo-worker"], { networks: ["default"] }),
    "demo-worker is in the other's network",
  ],
  [
    "the demo starts production",
    (all) => Object.assign(all["redis"], { profiles: ["production", "demo"] }),
    "redis is in the other's profile",
  ],
  ["the second ingest is elsewhere", (all) => delete all["ingest-2"].networks.front, "front: there is no ingest-2"],
  [
    "an ingest goes at once",
    (all) => Object.assign(all["ingest"].environment, { SHUTDOWN_DELAY: 1 }),
    "gone before the proxy knows",
  ],
];

describe("a mistake in docker-compose.yml is found", () => {
  test.each(MUTANTS)("%s", (_, make, told) => {
    // The anchors make one object of many: each gets its own.
    const compose = JSON.parse(JSON.stringify(readCompose())) as Compose;
    make(compose.services);
    expect(problems(compose).join("\n")).toContain(told);
  });

  test("code of tests in an image", () => {
    const mutant = dockerfile.replace(
      "FROM runtime AS worker\n",
      "FROM runtime AS worker\nCOPY test/simulator test/simulator\n",
    );
    expect(problems(readCompose(), mutant).join("\n")).toContain("has code of tests");
  });

  test("a health check by a program that is not there", () => {
    const mutant = dockerfile.replaceAll('CMD ["node", "-e"', 'CMD ["curl", "-e"');
    expect(problems(readCompose(), mutant).join("\n")).toContain("needs a program");
  });
});
