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
