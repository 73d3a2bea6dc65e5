import { expect, test } from "@jest/globals";
import { readRedisUrl } from "./redis-url.ts";

test("an address is taken as it is", () => {
  expect(readRedisUrl("rediss://user:pass@redis:6380/2")).toEqual({
    kind: "single",
    url: "rediss://user:pass@redis:6380/2",
  });
});

test("Sentinels are named with the primary's name, and with what Redis itself asks for", () => {
  expect(readRedisUrl("rediss-sentinel://app:p%40ss@one:26380,two,[::1]:5/3/main")).toEqual({
    kind: "sentinel",
    hosts: [
      { host: "one", port: 26_380 },
      { host: "two", port: 26_379 },
      { host: "::1", port: 5 },
    ],
    name: "main",
    username: "app",
    password: "p@ss",
    db: 3,
    isTls: true,
  });
  expect(readRedisUrl("redis-sentinel://one/main")).toEqual({
    ...{ kind: "sentinel", hosts: [{ host: "one", port: 26_379 }] },
    ...{ name: "main", db: 0, isTls: false },
  });
});

test("some nodes of a cluster are named", () => {
  expect(readRedisUrl("redis-cluster://one:7000,two")).toEqual({
    kind: "cluster",
    hosts: [
      { host: "one", port: 7_000 },
      { host: "two", port: 6_379 },
    ],
    isTls: false,
  });
});

test.each([
  "redis-cluster://one/2",
  "redis-sentinel://one",
  "redis-sentinel:///main",
  "redis-sentinel://one,/main",
  "redis-sentinel://one:port/main",
  "redis-sentinel://a:%zz@one/main",
  "http://redis",
  "redis",
])("%s is none of these", (text) => expect(readRedisUrl(text)).toBeUndefined());
