import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { type AppProcess, startNode } from "../support/app-process.ts";
import { until } from "../support/until.ts";
import { connectSimulator } from "./control-client.ts";
import { createHarness, PRIYA } from "./harness.ts";

const { startReceiver } = createHarness();
const MAIN = new URL("main.ts", import.meta.url).pathname;
const OWN_KEY = "a-key-given-by-the-user";
const OWN_TOKEN = "a-token-given-by-the-user";

const running: AppProcess[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((process) => process.end("SIGKILL")));
});

function run(...args: string[]): AppProcess {
  const process = startNode([MAIN, ...args], {});
  running.push(process);
  return process;
}

async function listening(process: AppProcess): Promise<string> {
  const [, url = ""] = await until("it listens", () => /listening on (\S+)/.exec(process.output()));
  return url;
}

test("it subscribes who is given, says what to try, and logs each attempt without a key or token", async () => {
  const receiver = await startReceiver();
  const process = run("--port", "0", "--webhook-url", receiver.url, "--signing-key", OWN_KEY, "--token", OWN_TOKEN);
  const url = await listening(process);
  const client = connectSimulator(url);
  const { invitee } = await client.book(PRIYA);
  await client.settled();
  expect(receiver.received).toHaveLength(1);
  const line = await until("the attempt is logged", () =>
    process
      .output()
      .split("\n")
      .find((said) => said.includes(invitee)),
  );
  expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}invitee\.created {2}\S+ {2}try 1 {2}200 accepted {2}\d+ ms$/);
  const me = await fetch(`${url}/users/me`, { headers: { authorization: `Bearer ${OWN_TOKEN}` } });
  expect(me.status).toBe(200);
  expect(process.output()).toContain(`curl ${url}/_simulator`);
  expect(process.output()).not.toContain(OWN_KEY);
  expect(process.output()).not.toContain(OWN_TOKEN);
});

test("the same seed gives the same ids in another process", async () => {
  const uris = await Promise.all(
    ["7", "7", "8"].map(async (seed) => {
      const client = connectSimulator(await listening(run("--port", "0", "--seed", seed)));
      return (await client.book(PRIYA)).uri;
    }),
  );
  expect(uris[1]).toBe(uris[0]);
  expect(uris[2]).not.toBe(uris[0]);
});

test.each(["SIGINT", "SIGTERM"] as const)(
  "%s ends it cleanly, whatever is on its way, and frees the port",
  async (signal) => {
    const receiver = await startReceiver(() => "nothing");
    const process = run("--port", "0", "--webhook-url", receiver.url, "--signing-key", OWN_KEY);
    const url = await listening(process);
    await connectSimulator(url).book(PRIYA);
    await until("a delivery is on its way", () => receiver.received.length === 1);
    process.signal(signal);
    expect(await process.exited).toEqual({ code: 0, signal: null });
    const again = createServer().listen(Number(new URL(url).port), "127.0.0.1");
    await once(again, "listening");
    again.close();
    await once(again, "close");
  },
);

describe("it refuses to start with a sentence and a code", () => {
  test("when the port is taken", async () => {
    const url = await listening(run("--port", "0"));
    const second = run("--port", new URL(url).port);
    expect((await second.exited).code).toBe(1);
    await until("it says why", () => second.output().includes("the port is taken by another process"));
  });

  test.each([
    [["--port", "web"], '--port: expected a number, 0 or more, got "web"'],
    [["--port", "70000"], '--port: expected a whole number from 0 to 65535, got "70000"'],
    [["--speed", "0"], '--speed: expected a number, 0.001 or more, got "0"'],
    [["--seed", "1.5"], "--seed: expected a whole number"],
    [["--dance"], "--dance"],
    [["--webhook-url", "http://127.0.0.1:9/"], "--webhook-url and --signing-key go together"],
    [["--port", "0", "--webhook-url", "hook", "--signing-key", "k"], "is not a URL"],
  ])("when an option is wrong: %j", async (args, sentence) => {
    const process = run(...args);
    expect((await process.exited).code).toBe(1);
    await until("it says what is wrong", () => process.output().includes(sentence));
    expect(process.output()).not.toContain("listening");
  });
});

test("--help names every option with its default", async () => {
  const process = run("--help");
  expect(await process.exited).toEqual({ code: 0, signal: null });
  const options = ["port", "host", "seed", "speed", "token", "rate-limit", "webhook-url", "signing-key"];
  await until("all of it is read", () => process.output().includes("this text"));
  for (const option of options) expect(process.output()).toMatch(new RegExp(`--${option} [^(]*\\(default`));
});
