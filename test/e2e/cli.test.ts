import { disconnect } from "@calendly-worker/core/redis/connect";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { DEMO_TOKEN, type Simulator, startSimulator } from "../simulator/simulator.ts";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { until } from "../support/until.ts";

const SIGNING_KEY = "test-signing-key-not-a-secret";
const URL_BASE = "https://hooks.example.org";

let server: RedisServer;
let simulator: Simulator;

beforeAll(async () => {
  server = await startRedis();
  simulator = await startSimulator({ seed: 77, rateLimit: 100_000 });
});

afterAll(async () => {
  await simulator?.close();
  await server?.stop();
});

/** The simulator is in this process, so that the command must not be waited for without letting that work. */
async function run(args: readonly string[], variables: Record<string, string> = {}) {
  const ended = await runCommand(args, {
    REDIS_URL: server.url,
    CALENDLY_API_BASE_URL: simulator.url,
    CALENDLY_API_TOKEN: DEMO_TOKEN,
    CALENDLY_WEBHOOK_SIGNING_KEY: SIGNING_KEY,
    CALENDLY_WEBHOOK_BASE_URL: `${URL_BASE}/`,
    ...variables,
  });
  expect(ended.stdout + ended.stderr).not.toMatch(new RegExp(`${SIGNING_KEY}|${DEMO_TOKEN}`));
  return ended;
}

test("a subscription is registered, listed, not registered twice, and deleted", async () => {
  expect(await run(["webhooks", "list"])).toEqual({ status: 0, stdout: "There is no subscription.\n", stderr: "" });
  const events = { CALENDLY_WEBHOOK_EVENTS: "invitee.created,invitee.rescheduled" };
  const made = await run(["webhooks", "register", "--json"], events);
  expect(made).toMatchObject({
    status: 0,
    stderr: expect.stringContaining(
      "Calendly refuses invitee.rescheduled: a reschedule comes as invitee.created and invitee.canceled",
    ),
  });
  const { uri } = JSON.parse(made.stdout);
  expect(JSON.parse(made.stdout)).toMatchObject({
    callbackUrl: `${URL_BASE}/api/webhooks/calendly`,
    state: "active",
    scope: "organization",
    events: ["invitee.created", "invitee.canceled"],
  });
  const [subscription] = [...simulator.subscriptions.values()];
  expect(subscription).toMatchObject({ uri });

  const already = `There is a subscription for ${URL_BASE}/api/webhooks/calendly already`;
  expect(await run(["webhooks", "register"], events)).toMatchObject({
    status: 0,
    stdout: "",
    stderr: expect.stringContaining(already),
  });
  // It is there, and is not what was to be registered.
  const other = { CALENDLY_WEBHOOK_EVENTS: "invitee.created,invitee_no_show.created" };
  const more = await run(["webhooks", "register"], other);
  expect(more).toMatchObject({ status: 78, stdout: "", stderr: expect.stringContaining(already) });
  expect(more.stderr).toContain("It does not tell of invitee_no_show.created: delete it and register anew.");
  const otherKey = { ...events, CALENDLY_WEBHOOK_SIGNING_KEY: "another-key-of-a-test" };
  expect(await run(["webhooks", "register"], otherKey)).toMatchObject({
    status: 78,
    stderr: expect.stringContaining("It is signed with a key that is not configured here"),
  });
  const asSecond = { ...otherKey, CALENDLY_WEBHOOK_SIGNING_KEY_SECONDARY: SIGNING_KEY };
  expect(await run(["webhooks", "register"], asSecond)).toMatchObject({ status: 0 });
  expect([...simulator.subscriptions.values()]).toHaveLength(1);
  const list = await run(["webhooks", "list"]);
  expect(list.stdout).toBe(
    `${uri}\n  active\n  ${URL_BASE}/api/webhooks/calendly\n  invitee.created, invitee.canceled\n`,
  );

  expect(await run(["webhooks", "delete", uri])).toMatchObject({ status: 0, stdout: `Deleted ${uri}\n` });
  expect(await run(["webhooks", "delete", uri])).toMatchObject({ status: 1, stderr: expect.stringContaining("404") });
  expect(simulator.subscriptions.size).toBe(0);
});

test("a subscription that Calendly has disabled is replaced", async () => {
  const first = JSON.parse((await run(["webhooks", "register", "--json"])).stdout);
  const [disabled] = [...simulator.subscriptions.values()];
  if (disabled === undefined) throw new Error("there is none");
  disabled.state = "disabled";
  const again = await run(["webhooks", "register", "--json"]);
  expect(again).toMatchObject({ status: 0, stderr: expect.stringContaining(`Deleted ${first.uri}`) });
  expect(JSON.parse(again.stdout)).toMatchObject({
    callbackUrl: `${URL_BASE}/api/webhooks/calendly?g=1`,
    state: "active",
  });
  expect([...simulator.subscriptions.values()]).toMatchObject([{ url: `${URL_BASE}/api/webhooks/calendly?g=1` }]);
  await run(["webhooks", "delete", JSON.parse(again.stdout).uri]);
});

test("where Calendly has one that it does not list, nothing is registered, which is said", async () => {
  simulator.setFaults({ apiLatencyMs: 300 });
  const asked = simulator.requests().length;
  const registering = run(["webhooks", "register"]);
  // Once they were listed, and before it is asked for.
  await until(
    "the list is answered",
    () => simulator.requests(asked).some(({ path, status }) => path === "/webhook_subscriptions" && status === 200),
    { everyMs: 1 },
  );
  const hidden = simulator.subscribe(`${URL_BASE}/api/webhooks/calendly`, SIGNING_KEY);
  hidden.state = "disabled";
  const { status, stdout, stderr } = await registering;
  simulator.setFaults({ apiLatencyMs: 0 });
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toContain("Nothing was registered: Calendly says that");
  await run(["webhooks", "delete", hidden.uri]);
});

test("a subscription of the user's own is registered where that is configured", async () => {
  const scope = { CALENDLY_WEBHOOK_SCOPE: "user", CALENDLY_WEBHOOK_EVENTS: "invitee.created" };
  const { stdout } = await run(["webhooks", "register", "--json"], scope);
  expect(JSON.parse(stdout)).toMatchObject({ scope: "user" });
  expect(JSON.parse((await run(["webhooks", "list", "--json"], scope)).stdout)).toHaveLength(1);
});

test("what is missing or refused is said, with an exit code that scripts can use", async () => {
  expect(await run(["webhooks", "register"], { CALENDLY_WEBHOOK_BASE_URL: "" })).toMatchObject({
    status: 78,
    stderr: "CALENDLY_WEBHOOK_BASE_URL is not set: a subscription needs it.\n",
  });
  expect(await run(["webhooks", "list"], { CALENDLY_API_TOKEN: "" })).toMatchObject({
    status: 78,
    stderr: "CALENDLY_API_TOKEN is not set: Calendly cannot be asked.\n",
  });
  simulator.setToken("narrow", { scopes: ["users:read"] });
  expect(await run(["webhooks", "list"], { CALENDLY_API_TOKEN: "narrow" })).toMatchObject({
    status: 1,
    stderr: "Calendly answered 403 to webhook subscriptions: the token lacks webhooks:read\n",
  });
  expect(await run(["webhooks", "nonsense"])).toMatchObject({ status: 1, stderr: expect.stringContaining("Usage:") });
});

test("the status of tokens says what was used and what works", async () => {
  simulator.setToken("heir");
  const variables = { CALENDLY_API_TOKEN_SECONDARY: "heir", CALENDLY_MAX_USAGE_PER_KEY: "1" };
  const { stdout } = await run(["tokens", "status"], variables);
  expect(stdout).toMatch(/^primary \([0-9a-f]{16}\) {2}approaching_limit, \d+ of 1 requests, last used 20/m);
  expect(stdout).toMatch(/^secondary \([0-9a-f]{16}\) {2}unknown, 0 of 1 requests, last used never$/m);
  expect(stdout).toContain("users:read               last worked 20");
  expect(stdout).toContain("→ The primary token has made");
  const { tokens, advice } = JSON.parse((await run(["tokens", "status", "--json"], variables)).stdout);
  expect(tokens).toMatchObject([{ slot: "primary" }, { slot: "secondary", state: "unknown" }]);
  expect(advice).toMatchObject([{ code: "token_rotation_recommended", slot: "primary" }]);
});

test("a token that dies while a command asks is told to all who look after the installation", async () => {
  simulator.setToken("dying-token", { state: "revoked" });
  const tokens = { CALENDLY_API_TOKEN: "dying-token", CALENDLY_API_TOKEN_SECONDARY: DEMO_TOKEN };
  expect(await run(["webhooks", "list"], tokens)).toMatchObject({ status: 0 });
  const redis = await connectRedis(server.url);
  const notices = await redis.xrange("{calendly:0}:notices", "-", "+");
  disconnect(redis);
  expect(notices.map(([, fields]) => fields[1])).toContain("credentials.token_failed_over");
});
