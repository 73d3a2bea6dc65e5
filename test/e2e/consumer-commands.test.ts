import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { createShards, groupDeadLettersKey, groupLeaseKey, outcomeStreamKey } from "@calendly-worker/core/redis/keys";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { runCommand } from "../support/cli.ts";
import { connectRedis } from "../support/connect-redis.ts";
import { anOutcome, append, install } from "../support/outcome-stream.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { keysLike } from "../support/whole-redis.ts";

// What a person does with destinations and groups of consumers. No worker runs.

const shards = createShards(1);
let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
  await install(redis, shards);
});
afterAll(async () => {
  disconnect(redis);
  await server.stop();
});

const calendly = (...args: string[]) =>
  runCommand(args, { REDIS_URL: server.url, CALENDLY_DESTINATION_ALLOW: "10.0.0.0/8" });
const json = async (...args: string[]) => JSON.parse((await calendly(...args, "--json")).stdout);

describe("destinations", () => {
  test("are added, shown without their secrets, changed, paused, given another secret, and removed", async () => {
    expect((await calendly("destinations", "list")).stdout).toBe("There is no destination.\n");
    const added = await calendly(
      "destinations",
      "add",
      "http://10.1.2.3/hook",
      "--types",
      "booking.canceled",
      "--ordered",
    );
    expect(added.stdout).toMatch(
      /booking\.canceled; in order\n {2}nothing delivered yet; 0 waiting, 0 dead letters\nwhsec_\S+\n$/,
    );
    expect(added.stderr).toContain("never again");
    const [{ id }] = await json("destinations", "list");
    expect(await json("destinations", "show", id)).toMatchObject({ url: "http://10.1.2.3/hook", concurrency: 5 });
    const changed = await json("destinations", "change", id, "--types", "all", "--no-ordered", "--concurrency", "2");
    expect(changed).toMatchObject({ types: null, ordered: false, concurrency: 2 });
    expect((await calendly("destinations", "pause", id)).stdout).toContain("paused (by hand)");
    expect((await json("destinations", "resume", id)).paused).toBeNull();
    const rotated = await json("destinations", "rotate-secret", id, "--overlap", "60");
    expect(rotated).toMatchObject({ secretCount: 2, secret: expect.stringMatching(/^whsec_/) });
    expect(added.stdout).not.toContain(rotated.secret);
    expect(JSON.stringify(await json("destinations", "list"))).not.toContain("whsec_");
    expect((await calendly("destinations", "dead-letters", id)).stdout).toBe("There is no dead letter.\n");
    expect((await calendly("destinations", "redeliver", id, "--all", "--dry-run")).stdout).toBe(
      "0 would be pushed again.\n",
    );
    for (const [command, done] of [
      ["redeliver", "pushed again"],
      ["drop", "dropped"],
    ] as const) {
      expect(await calendly("destinations", command, id, "x.confirmed")).toEqual({
        status: 1,
        stdout: `0 are ${done}.\n`,
        stderr: "1 of them are not among the dead letters.\n",
      });
    }
    expect((await calendly("destinations", "remove", id)).stdout).toBe(`Removed ${id}\n`);
    expect(await keysLike(redis, `*${id}*`)).toEqual([]);
  });

  test("show all dead letters, also more than the API lists at once", async () => {
    const [{ id }] = [await json("destinations", "add", "http://10.1.2.4/hook")];
    const queue = `{calendly:0}:push-${id}`;
    const letters = Array.from({ length: 1_100 }, (_, index) => {
      const push = { destinationId: id, shard: 0, streamId: `${index}-0`, type: "booking.confirmed", subject: "a" };
      return { ...push, id: `a.${index}` };
    });
    const step = redis.multi();
    for (const push of letters) {
      const job = { name: push.type, data: JSON.stringify(push), opts: "{}", timestamp: Date.now(), atm: 25 };
      step.hset(`${queue}:${push.id}`, { ...job, failedReason: "answered 500", finishedOn: Date.now() });
      step.zadd(`${queue}:failed`, Date.now(), push.id);
    }
    await step.exec();
    expect(await json("destinations", "dead-letters", id)).toHaveLength(letters.length);
    expect((await calendly("destinations", "drop", id, "--all")).stdout).toContain("1100 are dropped.");
    await calendly("destinations", "remove", id);
  });

  test.each([
    [["add", "http://127.0.0.1/"], /not a public address.*CALENDLY_DESTINATION_ALLOW=127\.0\.0\.1\/32/],
    [["add", "http://localhost/"], /localhost, which leads to .*CALENDLY_DESTINATION_ALLOW=localhost/],
    [["add", "ftp://example.com/"], /url: expected a URL that begins with https:\/\/ or http:\/\//],
    [["add", "https://user:password@example.com/"], /without a user and a password/],
    [["add", "http://10.1.2.3/", "--types", "booking.eaten"], /types\.0: .*booking\.confirmed/],
    [["add", "http://10.1.2.3/", "--concurrency", "0"], /concurrency: /],
    [["show", "nobody"], /there is no destination "nobody"/],
    [["redeliver", "nobody"], /expected ids of outcomes, or --all/],
    [["drop", "nobody", "a.1", "--all"], /expected ids of outcomes, or --all/],
    [["drop", "nobody", "--all"], /there is no destination "nobody"/],
  ])("%j is refused with what was expected", async (args, said) => {
    const { status, stderr } = await calendly("destinations", ...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(said);
  });
});

describe("groups of consumers", () => {
  test("are listed with how far they are behind, and what they gave up with its error's name alone unless --reveal", async () => {
    expect((await calendly("outcomes", "groups")).stdout).toBe("There is no group.\n");
    await append(redis, shards, [anOutcome("a"), anOutcome("b")]);
    await redis.xgroup("CREATE", outcomeStreamKey(shards.first), "crm", "0");
    await redis.xreadgroup("GROUP", "crm", "reader", "COUNT", 1, "STREAMS", outcomeStreamKey(shards.first), ">");
    expect((await calendly("outcomes", "groups")).stdout).toMatch(/^crm {2}1 unread, 1 pending, since \d{4}-.*Z\n$/);
    await redis.xadd(
      groupDeadLettersKey(shards.first, "crm"),
      "*",
      ...["stream_id", "1-0", "id", "x.confirmed", "type", "booking.confirmed", "subject", "x"],
      ...["attempts", "10", "error", "RangeError", "reason", "RangeError: no customer ann@example.com"],
    );
    expect((await calendly("outcomes", "dead-letters", "crm")).stdout).toMatch(
      /^x\.confirmed {2}booking\.confirmed of x\n {2}RangeError, given up \S+ after 10 tries; entry 1-0\n$/,
    );
    const letter = { id: "x.confirmed", type: "booking.confirmed", subject: "x", attempts: 10, error: "RangeError" };
    const [shown] = await json("outcomes", "dead-letters", "crm");
    expect(shown).toMatchObject(letter);
    expect(JSON.stringify(shown)).not.toContain("ann@example.com");
    expect((await calendly("outcomes", "dead-letters", "crm", "--reveal")).stdout).toContain(
      "  RangeError: no customer ann@example.com, given up ",
    );
    expect(await json("outcomes", "dead-letters", "crm", "--reveal")).toMatchObject([
      { ...letter, reason: "RangeError: no customer ann@example.com" },
    ]);
  });

  test("whose dead letters are of before errors had names show no more of them than now", async () => {
    await redis.xadd(
      groupDeadLettersKey(shards.first, "crm"),
      "*",
      ...["stream_id", "2-0", "id", "error", "type", "booking.confirmed", "subject", "y"],
      ...["attempts", "3", "reason", "no customer ann@example.com"],
    );
    expect((await calendly("outcomes", "dead-letters", "crm")).stdout).toMatch(
      /\nerror {2}booking\.confirmed of y\n {2}an error, given up \S+ after 3 tries; entry 2-0\n$/,
    );
  });

  test("can have what they gave up dropped, one or all, and stay where they are", async () => {
    const drop = (...args: string[]) => calendly("outcomes", "dead-letters", "crm", ...args);
    const before = await json("outcomes", "groups");
    expect((await drop("x.confirmed", "--drop", "--dry-run")).stdout).toBe("x.confirmed\n1 would be dropped.\n");
    expect(await json("outcomes", "dead-letters", "crm")).toHaveLength(2);
    expect(await drop("x.confirmed", "nobody", "--drop")).toMatchObject({
      status: 1,
      stdout: "x.confirmed\n1 are dropped.\n",
      stderr: "1 of them are not among the dead letters.\n",
    });
    expect(await json("outcomes", "dead-letters", "crm")).toMatchObject([{ id: "error" }]);
    const all = await json("outcomes", "dead-letters", "crm", "--drop", "--all");
    expect(all).toEqual({ dropped: ["error"], dryRun: false });
    expect((await drop()).stdout).toBe("There is no dead letter.\n");
    expect(await json("outcomes", "groups")).toEqual(before);
  });

  test.each([
    [["--drop"], /expected ids of outcomes, or --all/],
    [["x.confirmed", "--drop", "--all"], /expected ids of outcomes, or --all/],
    [["x.confirmed"], /go with --drop/],
    [["--all"], /go with --drop/],
    [["--dry-run"], /go with --drop/],
  ])("dead-letters crm %j is refused with what was expected", async (args, said) => {
    const { status, stderr } = await calendly("outcomes", "dead-letters", "crm", ...args);
    expect([status, stderr]).toEqual([1, expect.stringMatching(said)]);
  });

  test.each([[[]], [["--drop", "--all"]]])("that are not there have not given up nothing (%j)", async (args) => {
    const { status, stdout, stderr } = await calendly("outcomes", "dead-letters", "crn", ...args);
    expect([status, stdout, stderr]).toEqual([1, "", expect.stringContaining('there is no group "crn"')]);
  });

  test("are not forgotten while somebody reads for them, and those of the workers never", async () => {
    await redis.set(groupLeaseKey(shards.first, "crm"), "till/1", "PX", 60_000);
    const inUse = await calendly("outcomes", "forget", "crm");
    expect([inUse.status, inUse.stderr]).toEqual([
      78,
      expect.stringContaining("Stop all consumers of the group first"),
    ]);
    expect((await json("outcomes", "groups")).map(({ group }: { group: string }) => group)).toEqual(["crm"]);
    await redis.del(groupLeaseKey(shards.first, "crm"));
    const workers = await calendly("outcomes", "forget", "push");
    expect([workers.status, workers.stderr]).toEqual([78, expect.stringContaining("pause or remove the destinations")]);
  });

  test("are forgotten with all that was kept for them", async () => {
    expect((await calendly("outcomes", "forget", "crm")).stdout).toBe("Forgot the group crm\n");
    expect(await keysLike(redis, "*crm*")).toEqual([]);
    const again = await calendly("outcomes", "forget", "crm");
    expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('there is no group "crm"')]);
  });

  test("get a line of Redis' ACL", async () => {
    const { stdout } = await calendly("outcomes", "acl", "crm");
    expect(stdout).toMatch(/^ACL SETUSER crm on >PASSWORD .*-@all/);
    expect((await calendly("outcomes", "acl", "a b")).status).toBe(1);
  });
});
