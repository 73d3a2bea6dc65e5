import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { createPusher } from "./push-request.ts";
import { createTargetGuard, fitsName, TargetRefusedError } from "./push-target.ts";

const secrets = [`whsec_${Buffer.alloc(32, 1).toString("base64")}`];
let port = 0;
const server = createServer((req, res) => {
  if (req.url === "/away") res.writeHead(302, { location: `http://127.0.0.1:${port}/inside` }).end();
  else res.writeHead(204).end();
  reached.push(req.url ?? "");
});
const reached: string[] = [];

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

async function push(url: string, allow: readonly string[] = []) {
  const pusher = createPusher({ guard: createTargetGuard(allow), timeoutMs: 2_000, now: Date.now });
  try {
    return await pusher.push({ url, id: "x", body: "{}", secrets });
  } finally {
    pusher.close();
  }
}

describe("without being allowed, nothing is pushed to", () => {
  test.each([
    ["loopback", "http://127.0.0.1"],
    ["loopback, another address of it", "http://127.8.9.10"],
    ["loopback as one number", "http://2130706433"],
    ["loopback in hexadecimal", "http://0x7f.0.0.1"],
    ["loopback in octal", "http://0177.0.0.1"],
    ["loopback with parts left out", "http://127.1"],
    ["this host", "http://0.0.0.0"],
    ["loopback of IPv6", "http://[::1]"],
    ["unspecified of IPv6", "http://[::]"],
    ["loopback mapped into IPv6", "http://[::ffff:127.0.0.1]"],
    ["loopback mapped into IPv6, in hexadecimal", "http://[::ffff:7f00:1]"],
    ["loopback in IPv6's old form", "http://[::127.0.0.1]"],
    ["loopback behind NAT64", "http://[64:ff9b::7f00:1]"],
    ["loopback behind 6to4", "http://[2002:7f00:1::]"],
    ["a private network", "http://10.1.2.3"],
    ["another private network", "http://192.168.0.1"],
    ["a third private network", "http://172.16.0.1"],
    ["a carrier's network", "http://100.64.0.1"],
    ["link-local, where clouds keep their secrets", "http://169.254.169.254"],
    ["link-local of IPv6", "http://[fe80::1]"],
    ["a private network of IPv6", "http://[fd00::1]"],
    ["an old private network of IPv6", "http://[fec0::1]"],
    ["multicast", "http://224.0.0.1"],
    ["broadcast", "http://255.255.255.255"],
    ["a name that leads to loopback", "http://localhost"],
    ["such a name in capitals", "http://LOCALHOST"],
  ])("%s: %s", async (_what, origin) => {
    const url = `${origin}:${port}/inside`;
    const pushed = await push(url);
    expect(pushed).toMatchObject({ kind: "refused" });
    expect(pushed).toHaveProperty("reason", expect.stringContaining("CALENDLY_DESTINATION_ALLOW="));
    await expect(createTargetGuard([]).check(url)).rejects.toThrow(TargetRefusedError);
    expect(reached).toEqual([]);
  });

  test("a name that led elsewhere when it was looked at: the address counts that is connected to", async () => {
    // Resolved anew at every connection, by what the request itself is given; a look before says nothing.
    const guard = createTargetGuard([]);
    let looks = 0;
    const rebinding: typeof guard = {
      ...guard,
      check: async () => {},
      checkHost: () => {},
      lookup: (host, options, callback) => {
        looks += 1;
        guard.lookup(host, options, callback);
      },
    };
    const pusher = createPusher({ guard: rebinding, timeoutMs: 2_000, now: Date.now });
    expect(await pusher.push({ url: `http://localhost:${port}/inside`, id: "x", body: "{}", secrets })).toMatchObject({
      kind: "refused",
    });
    pusher.close();
    expect(looks).toBe(1);
    expect(reached).toEqual([]);
  });
});

test.each([[["localhost"]], [["127.0.0.0/8", "::1/128"]], [["127.0.0.1", "::1"]]])(
  "%j lets a name through that leads to loopback",
  async (allow) => {
    expect(await push(`http://localhost:${port}/a`, allow)).toEqual({ kind: "delivered", status: 204 });
  },
);

test.each([
  ["*.internal", "hooks.internal", true],
  ["*.internal", "internal", false],
  ["*.internal", "hooksinternal", false],
  ["hooks.internal", "a.hooks.internal", false],
])("the pattern %s fits %s: %p", (pattern, host, isAllowed) => {
  expect(fitsName(pattern, host)).toBe(isAllowed);
});

test("a range of one kind says nothing of the other", async () => {
  expect(await push(`http://127.0.0.1:${port}/a`, ["::/0"])).toMatchObject({ kind: "refused" });
});

test("a redirect is not followed, wherever it leads", async () => {
  reached.length = 0;
  expect(await push(`http://127.0.0.1:${port}/away`, ["127.0.0.1"])).toEqual({
    kind: "failed",
    reason: "answered 302: redirects are not followed",
  });
  expect(reached).toEqual(["/away"]);
});
