import { expect, test } from "@jest/globals";
import { consumerTokens } from "./consumer-tokens.ts";

const TOKEN = "0123456789abcdef";

test.each([
  [`crm ${TOKEN}`, [{ name: "crm", token: TOKEN }]],
  [
    `# those who read\n crm  ${TOKEN}\n\nbilling ${TOKEN}x https://api.calendly.com/event_types/A B\n`,
    [
      { name: "crm", token: TOKEN },
      { name: "billing", token: `${TOKEN}x`, eventTypes: ["https://api.calendly.com/event_types/A", "B"] },
    ],
  ],
  [
    `a ${TOKEN},b ${TOKEN}x`,
    [
      { name: "a", token: TOKEN },
      { name: "b", token: `${TOKEN}x` },
    ],
  ],
])("%j is read", (text, expected) => {
  expect(consumerTokens.schema.parse(text)).toEqual(expected);
});

test.each([`crm`, `crm short`, `crm ${TOKEN}, crm ${TOKEN}x`, `a ${TOKEN}, b ${TOKEN}`, `a/b ${TOKEN}`])(
  "%j is refused",
  (text) => {
    expect(consumerTokens.schema.safeParse(text).success).toBe(false);
  },
);
