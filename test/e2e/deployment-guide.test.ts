import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { apiTokensKey } from "@calendly-worker/core/redis/keys";
import { createSubscriptionStore } from "@calendly-worker/core/store/subscriptions";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Simulator, startSimulator } from "../simulator/simulator.ts";
import { expectEveryLogRight, idsOfLogs } from "../support/account-logs.ts";
import type { Variables } from "../support/app-process.ts";
import { connectRedis } from "../support/connect-redis.ts";
import {
  type GuideCommand,
  hasAllLines,
  isAsShown,
  pathWithPnpm,
  readNamedCommands,
  readSteps,
  runInBash,
} from "../support/guide.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";
import { type OutcomeLog, openOutcomeLog } from "../support/stack.ts";
import { until } from "../support/until.ts";

// The commands of docs/deployment.md, run in their order as they stand there, from an empty directory to the end of both
// rotations and back. Addresses are those of the test; what a person does at Calendly, and the passing of days, is below.

const ROOT = new URL("../../", import.meta.url).pathname;
const GUIDE = readFileSync(join(ROOT, "docs/deployment.md"), "utf8");
const STEPS = readSteps(GUIDE);
const [FIRST, SECOND] = ["first-token-not-a-secret", "second-token-not-a-secret"];
const HOUR_MS = 3_600_000;

/** Commands that the guide names and that are not run here, each with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "npx --yes pnpm@12.21.0 install --frozen-lockfile": "asks a registry; the tests run on what it has installed",
  "pnpm build": "writes what other tests run at the same moment; the tests run on what it has built",
  "pnpm simulator": "the test has a simulator of its own; test/simulator/main.test.ts runs it",
  "docker compose up --detach": "needs a Docker engine; `pnpm compose:try` runs it",
  "docker compose run --rm cli doctor": "needs a Docker engine; `pnpm compose:try` runs it",
  "pnpm datadog:sync --dry-run": "needs an account at Datadog; test/ops/datadog.test.ts runs it against a server",
  "pnpm calendly webhooks rotate --abort": "gives up what is carried through here; test/e2e/rollback.test.ts runs it",
  "pnpm calendly webhooks list": "nothing is wrong here; test/e2e/cli.test.ts runs it",
  "pnpm calendly outcomes tail": "does not end; test/e2e/commands.test.ts runs it",
};
const RUN = STEPS.filter(({ command }) => !(command in NOT_RUN)).map((step, index) => ({ ...step, number: index + 1 }));

let dir: string;
let env: Variables;
let server: RedisServer;
let redis: Redis;
let simulator: Simulator;
let outcomes: OutcomeLog;
let app: GuideCommand | undefined;
let addresses: Readonly<Record<string, string>>;
let hasFailed = false;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "deployment-"));
  // Not the packages and the workspace: pnpm must find nothing here that it could take for its own to mend.
  for (const name of ["apps", "packages", "package.json"]) {
    symlinkSync(join(ROOT, name), join(dir, name));
  }
  server = await startRedis();
  redis = await connectRedis(server.url);
  outcomes = await openOutcomeLog(redis);
  simulator = await startSimulator({ seed: 10, speed: 60, token: FIRST });
  simulator.setToken(SECOND);
  const [ingest, worker, metrics] = [await freePort(), await freePort(), await freePort()];
  addresses = {
    "https://staging.your-domain.com": `http://127.0.0.1:${ingest}`,
    "redis://127.0.0.1:6379": server.url,
    "127.0.0.1:3000": `127.0.0.1:${ingest}`,
    "127.0.0.1:3001": `127.0.0.1:${worker}`,
  };
  env = {
    PATH: pathWithPnpm(),
    HOME: String(process.env["HOME"]),
    // No packages are here; pnpm would install them.
    pnpm_config_verify_deps_before_run: "false",
    CALENDLY_API_BASE_URL: simulator.url,
    INGEST_HOST: "127.0.0.1",
    INGEST_PORT: String(ingest),
    INGEST_METRICS_PORT: String(metrics),
    WORKER_PORT: String(worker),
    // As in a terminal, and with a guardian who need not be waited for for five minutes.
    LOG_FORMAT: "pretty",
    CALENDLY_SUBSCRIPTION_CHECK_INTERVAL: "2",
  };
}, 180_000);

afterAll(async () => {
  await app?.interrupt();
  disconnect(redis);
  await simulator.close();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

let hours = 0;
const nextStart = () => new Date(Math.ceil(Date.now() / HOUR_MS) * HOUR_MS + ++hours * HOUR_MS).toISOString();
function book(tracking: Record<string, string> = {}) {
  const person = { name: "Priya Nair", email: "priya.nair@acme-corp.example" };
  return simulator.account.book({ eventType: "intro", start: nextStart(), ...person, tracking });
}

/** Moves what is known of all tokens into the past. */
async function pass(ms: number): Promise<void> {
  for (const [field, at] of Object.entries(await redis.hgetall(apiTokensKey))) {
    if (/:(first_seen|last_used)$/.test(field)) await redis.hset(apiTokensKey, field, String(Number(at) - ms));
  }
}

/** What somebody does before a command, while it runs, or types in. In turn, where a command comes several times. */
interface Act {
  readonly before?: () => Promise<unknown>;
  readonly during?: (command: GuideCommand) => Promise<unknown>;
  readonly input?: string;
}
const NOTHING: Act = {};
const ACTS: readonly (readonly [start: string, ...Act[]])[] = [
  ['read -rs -p "API token', { input: `${FIRST}\n` }],
  ['read -rs -p "New API token', { input: `${SECOND}\n` }],
  ["pnpm calendly bookings list", { before: () => outcomes.untilThere([`${book().id}.confirmed`]) }],
  [
    "pnpm calendly verify",
    {
      async during({ printed, said }) {
        await said("Book an appointment");
        const [, reference = ""] = /utm_content=(\S+)/.exec(printed()) ?? [];
        const first = book({ utm_content: reference });
        await said("Now reschedule it");
        const second = simulator.account.reschedule(first.id, nextStart());
        await said("Now cancel it");
        simulator.account.cancel(second.id);
      },
    },
  ],
  ["pnpm calendly tokens status | tail", { before: () => pass(24 * HOUR_MS) }, { before: () => pass(HOUR_MS / 6) }],
  [
    "pnpm calendly webhooks rotate",
    {
      async during({ said }) {
        await said("Waiting for the first verified delivery");
        book();
      },
    },
  ],
  ["sed -n 's/^OPS_API_TOKEN", { before: () => until("the guardian has looked", isSubscribed) }],
  // Delivered with the new key, while only the old one is accepted.
  ["curl -s -w '\\n' http://127.0.0.1:3000/readyz", NOTHING, { before: async () => book() }],
];
const isSubscribed = async () => (await createSubscriptionStore(redis).report())?.problems.length === 0;

function actOf({ command, number }: (typeof RUN)[number]): Act {
  const found = ACTS.find(([start]) => command.startsWith(start));
  if (found === undefined) return NOTHING;
  const [start, ...acts] = found;
  const before = RUN.filter((step) => step.number < number && step.command.startsWith(start));
  return acts[before.length] ?? NOTHING;
}

/** The command with the addresses of this installation, and the event type that was printed last. */
let eventType = "";
function here(command: string): string {
  const own = Object.entries(addresses).reduce((text, [shown, address]) => text.replaceAll(shown, address), command);
  return own.replace("https://api.calendly.com/event_types/YOUR-EVENT-TYPE", eventType);
}
function asInGuide(printed: string): string {
  return printed.replaceAll(String(addresses["https://staging.your-domain.com"]), "https://staging.your-domain.com");
}

function expectNoSecret(printed: string): void {
  const values = parseEnv(readFileSync(join(dir, ".env"), "utf8"));
  const secrets = Object.entries(values).filter(([name]) => /TOKEN|KEY/.test(name));
  for (const [name, value = ""] of secrets) {
    if (printed.includes(value)) throw new Error(`the value of ${name} was printed`);
  }
}

test("every command is run, or is named here with the reason", () => {
  expect(RUN.length).toBeGreaterThan(25);
  const run = new Set(RUN.map(({ command }) => command));
  const named = readNamedCommands(GUIDE);
  expect(named.filter((command) => !run.has(command) && !(command in NOT_RUN))).toEqual([]);
  const all = new Set([...STEPS.map(({ command }) => command), ...named]);
  expect(Object.keys(NOT_RUN).filter((command) => !all.has(command))).toEqual([]);
});

test.each([
  ["Faults: 0, warnings: 1.\n", "Faults: 0, warnings: 1.\n", true],
  ["Faults: 0, warnings: 1.\n", "Faults: 1, warnings: 1.\n", false],
  ["one\n…\nfour\n", "one\ntwo\nthree\nfour\n", true],
  ["one\n…\nfour\n", "one\ntwo\nthree\n", false],
  ["one\n", "one\ntwo\n", false],
  ["events: a, …\n", "events: a, b, c\n", true],
  ["", "something\n", false],
  ["in the queue 3 ms, at 2026-01-01T00:00:00Z\n", "in the queue 14 ms, at 2027-02-03T04:05:06.789Z\n", true],
])("%j shows what printed %j: %s", (shown, printed, isRight) => {
  expect(isAsShown(shown, printed)).toBe(isRight);
});

test.each(RUN)("$number. $command", async (step) => {
  if (hasFailed) throw new Error("a command before this one has failed");
  hasFailed = true;
  const { before, during, input } = actOf(step);
  await before?.();
  if (step.command === "pnpm start") {
    await app?.interrupt();
    const started = runInBash(here(step.command), dir, env);
    app = started;
    const shown = step.shown ?? "ingest ready for deliveries";
    await Promise.all([started.said("ingest ready for deliveries"), started.said("worker taking jobs")]);
    if (step.shown !== undefined && !hasAllLines(shown, asInGuide(started.printed()))) {
      throw new Error(`expected to see\n${shown}\nbut it printed\n${started.printed()}`);
    }
  } else {
    const command = runInBash(here(step.command), dir, env, input);
    const [code] = await Promise.all([command.code, during?.(command)]);
    const printed = asInGuide(command.printed());
    expectNoSecret(printed);
    const [, expected = "0"] = /exit code (\d+)/.exec(step.shown ?? "") ?? [];
    if (code !== Number(expected) || !isAsShown(step.shown ?? "", printed)) {
      throw new Error(`expected exit code ${expected} and\n${step.shown ?? ""}\nbut got ${code} and\n${printed}`);
    }
    eventType = /"eventType":"([^"]+)"/.exec(printed)?.[1] ?? eventType;
  }
  hasFailed = false;
});

test("in the end Calendly signs with the new key, the new token is used, and nothing was lost or told twice", async () => {
  if (hasFailed) throw new Error("a command has failed");
  const settings = parseEnv(readFileSync(join(dir, ".env"), "utf8"));
  expect(statSync(join(dir, ".env")).mode & 0o777).toBe(0o600);
  expect(Object.keys(settings).filter((name) => name.endsWith("_SECONDARY"))).toEqual([]);
  expect(settings["CALENDLY_API_TOKEN"]).toBe(SECOND);
  expect([...simulator.subscriptions.values()]).toMatchObject([
    { url: expect.stringMatching(/\?g=1$/), signingKey: settings["CALENDLY_WEBHOOK_SIGNING_KEY"], state: "active" },
  ]);
  expect(simulator.requests().at(-1)?.token).toBe(SECOND);
  expect(simulator.attempts().some(({ status }) => status === 401)).toBe(true);
  await simulator.settled({ timeoutMs: 120_000 });
  await outcomes.untilThere(idsOfLogs(simulator.account));
  expectEveryLogRight(simulator.account, await outcomes.all());
}, 300_000);
