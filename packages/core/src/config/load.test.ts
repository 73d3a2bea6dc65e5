import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { ConfigError, loadConfig } from "./load.ts";

function problemsOf(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

test("each app requires only its own secrets", () => {
  expect(loadConfig(["ingest"], { CALENDLY_WEBHOOK_SIGNING_KEY: "k" }).CALENDLY_WEBHOOK_SIGNING_KEY).toBe("k");
  expect(loadConfig(["worker"], { CALENDLY_API_TOKEN: "t" }).CALENDLY_API_TOKEN).toBe("t");
  expect(problemsOf(() => loadConfig(["ingest", "worker"], {}))).toMatch(
    /CALENDLY_API_TOKEN is not set.*\n.*CALENDLY_WEBHOOK_SIGNING_KEY is not set/,
  );
});

test("the defaults are those of the deployment guide", () => {
  expect(loadConfig([], {})).toMatchObject({
    CALENDLY_ENABLE_CACHING: true,
    CALENDLY_CACHE_TTL: 300,
    CALENDLY_CACHE_MAX_ENTRIES: 1_000,
    CALENDLY_KEY_ROTATION_MONITORING: true,
    CALENDLY_KEY_ROTATION_CHECK_INTERVAL: 3_600_000,
    CALENDLY_MAX_USAGE_PER_KEY: 10_000,
    CALENDLY_WEBHOOK_REPLAY_PROTECTION_WINDOW: 300,
    CALENDLY_WEBHOOK_ENDPOINT_PREFIX: "/api/webhooks/calendly",
    CALENDLY_API_BASE_URL: "https://api.calendly.com",
    CALENDLY_DEDUPLICATION_TTL: 259_200,
    CALENDLY_WEBHOOK_LATE_DELIVERIES: "refuse",
    CALENDLY_WEBHOOK_SCOPE: "organization",
    CALENDLY_SHARDS: 1,
    REDIS_URL: "redis://127.0.0.1:6379",
    INGEST_PORT: 3_000,
    INGEST_METRICS_PORT: 9_464,
    WORKER_PORT: 3_001,
  });
});

test("an empty text counts as unset", () => {
  expect(loadConfig([], { CALENDLY_CACHE_TTL: "", REDIS_ALLOW_UNSAFE: "  " })).toMatchObject({
    CALENDLY_CACHE_TTL: 300,
  });
  expect(problemsOf(() => loadConfig(["worker"], { CALENDLY_API_TOKEN: " " }))).toContain(
    "CALENDLY_API_TOKEN is not set",
  );
});

describe("a value that does not fit", () => {
  test("is reported with all others, each with what was expected and what came", () => {
    const message = problemsOf(() =>
      loadConfig(["worker"], {
        CALENDLY_CACHE_TTL: "5m",
        LOG_LEVEL: "loud",
        CALENDLY_WEBHOOK_EVENTS: "invitee.created,invitee.moved",
        CALENDLY_WEBHOOK_ENDPOINT_PREFIX: "hooks/",
        CALENDLY_ENABLE_CACHING: "perhaps",
        INGEST_PORT: "70000",
      }),
    );
    expect(message).toContain("CALENDLY_API_TOKEN is not set: the worker needs it");
    expect(message).toContain('CALENDLY_CACHE_TTL: expected a whole number, 1 or more (s), got "5m"');
    expect(message).toContain('LOG_LEVEL: expected one of trace, debug, info, warn, error, fatal, silent, got "loud"');
    expect(message).toMatch(
      /CALENDLY_WEBHOOK_EVENTS: expected a comma-separated list of .*, got "invitee.created,invitee.moved"/,
    );
    expect(message).toContain("CALENDLY_WEBHOOK_ENDPOINT_PREFIX: expected a path such as");
    expect(message).toContain('CALENDLY_ENABLE_CACHING: expected true or false, got "perhaps"');
    expect(message).toContain('INGEST_PORT: expected a whole number from 0 to 65535, got "70000"');
  });

  test("is refused where heartbeats would be so rare that the alert on their absence fires", () => {
    expect(problemsOf(() => loadConfig([], { WORKER_HEARTBEAT_INTERVAL: "120001" }))).toContain(
      'WORKER_HEARTBEAT_INTERVAL: expected a whole number from 100 to 120000 (ms), got "120001"',
    );
    expect(loadConfig([], { WORKER_HEARTBEAT_INTERVAL: "120000" }).WORKER_HEARTBEAT_INTERVAL).toBe(120_000);
  });

  test("is never shown when it is a secret", () => {
    const message = problemsOf(() =>
      loadConfig([], { CALENDLY_WEBHOOK_SIGNING_KEY: "two words", REDIS_URL: "http://user:hunter2@host" }),
    );
    expect(message).toContain("CALENDLY_WEBHOOK_SIGNING_KEY: expected a value without white space");
    expect(message).toContain("REDIS_URL: expected a URL such as redis://host:6379");
    expect(message).not.toMatch(/two words|hunter2/);
  });
});

describe("a secret in a file", () => {
  const file = join(mkdtempSync(join(tmpdir(), "secret-")), "token");
  writeFileSync(file, "0123456789abcdef\n");

  test("is read from where its _FILE says", () => {
    expect(loadConfig([], { OPS_API_TOKEN_FILE: file }).OPS_API_TOKEN).toBe("0123456789abcdef");
    const { CALENDLY_CONSUMER_TOKENS: tokens } = loadConfig([], {
      CALENDLY_CONSUMER_TOKENS_FILE: (() => {
        writeFileSync(`${file}s`, "# who reads\ncrm 0123456789abcdef\nbilling 0123456789abcdeg type-1\n");
        return `${file}s`;
      })(),
    });
    expect(tokens?.map(({ name }) => name)).toEqual(["crm", "billing"]);
  });

  test.each([
    [
      { OPS_API_TOKEN_FILE: "/nowhere/at-all" },
      'OPS_API_TOKEN_FILE: the file "/nowhere/at-all" cannot be read (ENOENT)',
    ],
    [{ OPS_API_TOKEN_FILE: file, OPS_API_TOKEN: "another" }, "OPS_API_TOKEN and OPS_API_TOKEN_FILE are both set"],
  ])("%j is refused", (environment, said) => {
    expect(() => loadConfig([], environment)).toThrow(said);
  });

  test("is for secrets alone", () => {
    expect(loadConfig([], { LOG_LEVEL_FILE: file }).LOG_LEVEL).toBe("info");
  });
});
