import { readFileSync } from "node:fs";
import { disconnect, type Redis } from "@calendly-worker/core/redis/connect";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connectRedis } from "../support/connect-redis.ts";
import { deliver, signatureHeader } from "../support/deliveries.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type Ingest, startIngest } from "../support/stack.ts";
import { emptyRedis } from "../support/whole-redis.ts";

const FIXTURES = new URL("../fixtures/deliveries/", import.meta.url);
const body = (name: string) => readFileSync(new URL(`${name}.json`, FIXTURES), "utf8");
const { event_type: DEMO } = JSON.parse(body("invitee.created")).payload.scheduled_event;
const DEMO_ID = DEMO.split("/").at(-1);

let server: RedisServer;
let redis: Redis;
const ingests: Ingest[] = [];

beforeAll(async () => {
  server = await startRedis();
  redis = await connectRedis(server.url);
});

afterAll(async () => {
  await Promise.all(ingests.map((ingest) => ingest.end()));
  if (redis !== undefined) disconnect(redis);
  await server?.stop();
});

async function ingestFor(variables: Record<string, string>): Promise<(name: string) => Promise<unknown>> {
  const ingest = await startIngest(server.url, variables);
  ingests.push(ingest);
  await ingest.untilLogged("ready for deliveries");
  return async (name) => {
    const { status, body: answer } = await deliver(ingest.webhookUrl, body(name));
    return [status, answer.status];
  };
}

describe("a deployment that handles some event types only", () => {
  test.each([
    ["named by URI", { CALENDLY_EVENT_TYPES: `https://api.calendly.com/event_types/SOMETHING, ${DEMO}` }, true],
    ["named by id", { CALENDLY_EVENT_TYPES: DEMO_ID }, true],
    ["not named", { CALENDLY_EVENT_TYPES: "SOMETHING" }, false],
    ["excluded", { CALENDLY_EVENT_TYPES_EXCLUDE: `${DEMO_ID},SOMETHING` }, false],
    ["named and excluded", { CALENDLY_EVENT_TYPES: DEMO, CALENDLY_EVENT_TYPES_EXCLUDE: DEMO_ID }, false],
  ])("takes what is about one that is %s or not", async (_, variables, isHandled) => {
    await emptyRedis(redis);
    const send = await ingestFor(variables);
    const expected = isHandled ? "accepted" : "out_of_scope";
    for (const name of ["invitee.created", "invitee.canceled", "invitee_no_show.created", "event_type.updated"]) {
      expect([name, await send(name)]).toEqual([name, [200, expected]]);
    }
    expect(await redis.llen("{calendly:0}:deliveries:wait")).toBe(isHandled ? 4 : 0);
  });

  test("refuses to start with names that no event type can have", async () => {
    const ingest = startIngest(server.url, { CALENDLY_EVENT_TYPES: "product demo" });
    await expect(ingest).rejects.toThrow(
      'CALENDLY_EVENT_TYPES: expected a comma-separated list of URIs or ids, got "product demo"',
    );
  });
});

describe("a late delivery", () => {
  test("of what cannot be asked for is left to ops, of an event type it is of no use", async () => {
    await emptyRedis(redis);
    const ingest = await startIngest(server.url, { CALENDLY_WEBHOOK_LATE_DELIVERIES: "defer" });
    ingests.push(ingest);
    await ingest.untilLogged("ready for deliveries");
    const late = async (name: string) => {
      const signature = signatureHeader(body(name), undefined, Math.floor(Date.now() / 1_000) - 3_600);
      return (await deliver(ingest.webhookUrl, body(name), { signature })).body.status;
    };
    expect(await late("invitee_no_show.created")).toBe("deferred");
    expect(await late("routing_form_submission.created.event_type")).toBe("deferred");
    expect(await late("event_type.updated")).toBe("ignored");
    expect(await late("invitee.created")).toBe("deferred");
    expect(await redis.zcard("{calendly:0}:quarantine:index")).toBe(2);
    expect(await redis.llen("{calendly:0}:late-deliveries:wait")).toBe(1);
    expect(await redis.llen("{calendly:0}:deliveries:wait")).toBe(0);
  });
});
