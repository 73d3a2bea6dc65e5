import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { createLogger } from "./logger.ts";

function logged(object: object): string {
  const lines: string[] = [];
  createLogger({ app: "test", level: "info", sink: { write: (line) => lines.push(line) } }).info(object, "message");
  return lines.join("");
}

test("personal data and secrets are redacted at the top and two levels down", () => {
  const person = { email: "a@example.org", name: "Ann", phone: "+1", cancelUrl: "https://x/cancel", body: "{}" };
  const line = logged({
    ...person,
    invitee: person,
    booking: { invitee: person },
    authorization: "Bearer abc",
    key: "k3y",
  });
  expect(line).not.toMatch(/example|Ann|\+1|cancel"?:"https|\{\}|abc|k3y/);
  expect(line).toContain("[redacted]");
});

test("an error is logged without the command that failed, whose arguments hold whole deliveries", () => {
  const error = Object.assign(new Error("OOM", { cause: new Error("inner") }), {
    command: { name: "evalsha", args: ["a@example.org"] },
    code: "ERR",
  });
  const line = logged({ err: error });
  expect(line).not.toContain("example");
  expect(JSON.parse(line).err).toMatchObject({
    type: "Error",
    message: "OOM",
    code: "ERR",
    cause: { message: "inner" },
  });
});

test("an error about what could not be read does not quote it", () => {
  let error: unknown;
  try {
    JSON.parse('{"email": Priya Nair <priya@example.org>\n"}');
  } catch (thrown) {
    error = thrown;
  }
  const line = logged({ err: error });
  expect(line).not.toMatch(/Priya|example/);
  expect(JSON.parse(line).err).toMatchObject({
    type: "SyntaxError",
    message: expect.stringContaining("Unexpected token"),
  });
});

test("each line bears the name of its event, by its message or as it is given", () => {
  const lines: string[] = [];
  const log = createLogger({ app: "test", level: "info", sink: { write: (line) => lines.push(line) } });
  log.info({}, "what Calendly's API says, left out");
  log.child({ queue: "x" }).warn({ event: "told", err: new Error("x") }, `something that varies ${Math.random()}`);
  expect(lines.map((line) => JSON.parse(line).event)).toEqual(["what_calendly_s_api_says_left_out", "told"]);
});

test("for people there is a line in words, with the secrets left out", () => {
  const program = `import { createLogger } from ${JSON.stringify(new URL("./logger.ts", import.meta.url).href)};
    createLogger({ app: "test", level: "info", format: "pretty" }).info({ email: "a@example.org", ms: 5 }, "delivery");`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  expect(stdout).toMatch(/INFO.*delivery/);
  expect(stdout).toContain("[redacted]");
  expect(stdout).not.toContain("example.org");
});
